"""LongPort's credentials and settings, and the one-time password by HTTP from a server in this process."""

import asyncio
import contextlib
import hashlib
import hmac
import http.server
import json
import socket
import threading

import pytest

import fastfeed as ff
from fastfeed.feeds import longport_http
from fastfeed.feeds.longport_http import Credentials, OneTimePassword, Settings, get_token
from fastfeed.protocols.longport_codes import HOSTS

KEY, SECRET, TOKEN = "app-key-0123456789", "app-secret-0123456789", "access-token-0123456789"
CREDENTIALS = Credentials(KEY, SECRET, TOKEN)
SHORT = Credentials("KEY", "secret", "TOKEN")
NOTHING = {"environment": {}}


# signatures


@pytest.mark.parametrize(
    ("method", "target", "timestamp", "body", "signature"),
    [
        ("GET", "/v1/socket/token", "1700000000", b"",
         "918f4bd5696c90f80c9e2b6f43aae35db78537c078b154cdb899726b9da28d9b"),
        # Those of the vendor's clients.
        ("GET", "/v1/socket/token", "1795219470", b"",
         "8fbc82258f677c1fc5b040d3f4a56bb5c2b3d4ce303366a84b2e9f3999421d97"),
        ("POST", "/quote/quotes", "1795220496", b'{"symbol":["00700.HK","AAPL.US"]}',
         "2a3e21f3607f735ec8e55298ee5b84fe9dcd1ff074928350143661430f55fc75"),
    ],
)  # fmt: skip
def test_signatures_are_those_of_the_vendors_clients(method, target, timestamp, body, signature):
    assert SHORT.headers(method, target, timestamp, body) == {
        "X-Api-Key": "KEY",
        "Authorization": "TOKEN",
        "X-Timestamp": timestamp,
        "X-Dc-Region": "ap",
        "X-Api-Signature": "HMAC-SHA256 SignedHeaders=authorization;x-api-key;x-timestamp, "
        f"Signature={signature}",
    }


def signature_of(target, timestamp):
    """Return the signature of a GET by the rules of the vendor's documents, part by part."""
    path, _, query = target.partition("?")
    lines = f"authorization:{TOKEN}\nx-api-key:{KEY}\nx-timestamp:{timestamp}\n"
    parts = ["GET", path, query, lines, "authorization;x-api-key;x-timestamp", ""]
    digest = hashlib.sha1("|".join(parts).encode()).hexdigest()
    return hmac.new(SECRET.encode(), f"HMAC-SHA256|{digest}".encode(), "sha256").hexdigest()


def test_the_query_is_signed_apart_from_the_path():
    headers = CREDENTIALS.headers("GET", "/a/b?c=d&e=f?g", "1700000000.250")
    assert headers["X-Api-Signature"].endswith(
        "Signature=" + signature_of("/a/b?c=d&e=f?g", "1700000000.250")
    )


def test_oauth_has_no_signature():
    credentials = Credentials.of(oauth_client_id="client", oauth_token="us_token", **NOTHING)
    assert credentials.headers("GET", "/", "1700000000") == {
        "X-Api-Key": "client",
        "Authorization": "Bearer us_token",
        "X-Timestamp": "1700000000",
        "X-Dc-Region": "us",
    }


@pytest.mark.parametrize(
    ("values", "region"),
    [
        (("KEY", "secret", "TOKEN"), "ap"),
        (("us_KEY", "secret", "TOKEN"), "us"),
        (("KEY", "us_secret", "TOKEN"), "us"),
        (("KEY", "secret", "us_TOKEN"), "us"),
        (("ap_KEY", "secret", "hk_m_TOKEN"), "ap"),
        (("KEYus_", "secret", "usTOKEN"), "ap"),
    ],
)
def test_the_data_centre_is_that_of_the_prefixes(values, region):
    assert Credentials.of(*values, **NOTHING).dc_region == region


# credentials


def environment_of(prefix, *names):
    return {f"{prefix}_{name}": f"{prefix}-{name}" for name in names}


APP = ("APP_KEY", "APP_SECRET", "ACCESS_TOKEN")
OAUTH = ("OAUTH_CLIENT_ID", "OAUTH_TOKEN")


def held(credentials):
    return credentials.key, credentials.secret, credentials.token


def test_keywords_go_before_the_newer_variables_and_those_before_the_older_ones():
    old, new = environment_of("LONGPORT", *APP), environment_of("LONGBRIDGE", *APP)
    assert held(Credentials.of(KEY, SECRET, TOKEN, environment=new)) == (KEY, SECRET, TOKEN)
    assert held(Credentials.of(environment=old)) == tuple(old.values())
    assert held(Credentials.of(environment=old | new)) == tuple(new.values())
    new["LONGBRIDGE_APP_SECRET"] = " "  # as good as none
    assert held(Credentials.of(app_key=KEY, environment=old | new)) == (
        KEY,
        "LONGPORT-APP_SECRET",
        "LONGBRIDGE-ACCESS_TOKEN",
    )


def test_oauth_is_taken_where_nothing_else_is():
    oauth, app = environment_of("LONGBRIDGE", *OAUTH), environment_of("LONGPORT", *APP)
    key, token = oauth.values()
    assert held(Credentials.of(environment=oauth)) == (key, "", token)
    assert held(Credentials.of(environment=oauth | app)) == tuple(app.values())
    assert held(Credentials.of(oauth_token="mine", environment=oauth | app)) == (key, "", "mine")


def test_the_processs_environment_is_the_usual_one(monkeypatch):
    for name in (*APP, *OAUTH):
        monkeypatch.delenv(f"LONGBRIDGE_{name}", raising=False)
        monkeypatch.setenv(f"LONGPORT_{name}", f"of-{name}")
    assert held(Credentials.of()) == ("of-APP_KEY", "of-APP_SECRET", "of-ACCESS_TOKEN")


@pytest.mark.parametrize(
    ("given", "environment", "missing", "there"),
    [
        ({}, {}, APP, ()),
        ({}, environment_of("LONGPORT", "APP_KEY"), APP[1:], APP[:1]),
        ({"app_key": KEY, "app_secret": SECRET}, environment_of("LONGPORT", *OAUTH), APP[2:], APP[:2]),
        ({"oauth_token": TOKEN}, environment_of("LONGPORT", *APP), OAUTH[:1], OAUTH[1:]),
    ],
)  # fmt: skip
def test_what_is_missing_is_told(given, environment, missing, there):
    with pytest.raises(ff.ConfigError) as refused:
        Credentials.of(**given, environment=environment)
    text = str(refused.value)
    assert f" {'are' if len(missing) > 1 else 'is'} missing" in text
    for name in missing:
        assert f"LONGBRIDGE_{name} or LONGPORT_{name}" in text
    for name in there:
        assert f"_{name}" not in text
        assert name.lower() in text
    for secret in (KEY, SECRET, TOKEN, *environment.values()):
        assert secret not in text


@pytest.mark.parametrize("bad", ["two\nlines", "a blank", "ünïcode", "\x00"])
def test_what_cannot_be_a_credential_is_not_shown(bad):
    with pytest.raises(ff.ConfigError, match="expected access_token as printable ASCII") as refused:
        Credentials.of(KEY, SECRET, f"secret{bad}", **NOTHING)
    assert "secret" not in str(refused.value).replace("app_secret", "")
    assert held(Credentials.of(f" {KEY}\n", SECRET, TOKEN, **NOTHING))[0] == KEY


@pytest.mark.parametrize("bad", [5, b"secret", ["secret"]])
def test_what_is_no_text_cannot_be_a_credential_or_an_address(bad):
    with pytest.raises(ff.ConfigError, match="expected app_key as printable") as refused:
        Credentials.of(bad, SECRET, TOKEN, **NOTHING)
    assert "'secret" not in str(refused.value)
    with pytest.raises(ff.ConfigError, match="expected http_url"):
        Settings.of(http_url=bad, **NOTHING)


def test_not_both_kinds_of_credentials():
    with pytest.raises(ff.ConfigError, match="got some of both"):
        Credentials.of(KEY, oauth_token=TOKEN, **NOTHING)


def test_nothing_shows_credentials():
    assert repr(CREDENTIALS) == str(CREDENTIALS) == "Credentials()"
    assert "123" not in repr(OneTimePassword("123", 10, 1))


# settings


def settings(environment=None, **given):
    return Settings.of(**given, environment=environment or {})


def test_settings_without_any():
    hosts = HOSTS["global"]
    assert settings() == Settings(hosts.http, hosts.websocket, "en", False)
    assert settings(transport="tcp").url == hosts.tcp


@pytest.mark.parametrize("prefix", ["LONGBRIDGE", "LONGPORT"])
def test_settings_of_the_environment(prefix):
    names = {
        "HTTP_URL": "http://127.0.0.1:1/", "QUOTE_WS_URL": "ws://127.0.0.1:2/v2", "REGION": "CN",
        "LANGUAGE": "zh-CN", "ENABLE_OVERNIGHT": "true",
    }  # fmt: skip
    environment = {f"{prefix}_{name}": value for name, value in names.items()}
    assert settings(environment) == Settings(
        "http://127.0.0.1:1", "ws://127.0.0.1:2/v2", "zh-CN", True
    )
    assert settings(environment, transport="tcp").url == HOSTS["cn"].tcp
    mine = {"http_url": "https://a/b/", "url": "tcp://c:1", "language": "en", "overnight": False}
    assert settings(environment, **mine) == Settings("https://a/b", "tcp://c:1", "en", False)


def test_regions():
    cn = HOSTS["cn"]
    assert settings({"LONGPORT_REGION": "cn"}).url == cn.websocket
    assert settings({"LONGPORT_REGION": "hk"}).url == HOSTS["global"].websocket
    assert settings({"LONGPORT_REGION": "cn"}, region="global").http_url == HOSTS["global"].http
    assert settings(region="cn") == Settings(cn.http, cn.websocket, "en", False)


@pytest.mark.parametrize(
    "given",
    [
        {"region": "mars"},
        {"language": "de"},
        {"transport": "udp"},
        *({"http_url": url} for url in (
            "ftp://a", "a", "http://", "http://u:p@a", "http://a?b=c", "http://a#b", "http://a:x",
            "http://a b", "http://a..b", "http://ä", "http://[::1", "http://a\n",
        )),
    ],
)  # fmt: skip
def test_settings_that_cannot_be(given):
    with pytest.raises(ff.ConfigError, match=f"expected {next(iter(given))} to be"):
        settings(**given)


# the one-time password


class Server:
    """Answers one request after another with what was given: (status, body); keeps what it was asked."""

    def __init__(self, *answers):
        self._answers = iter(answers)
        self.requests = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                outer.requests.append((self.path, dict(self.headers.items())))
                status, body = next(outer._answers)
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                with contextlib.suppress(ConnectionError):
                    self.wfile.write(body)

            def log_message(self, *_):
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self):
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        return self

    def __exit__(self, *exc):
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def reply(code=0, status=200, **more):
    return status, json.dumps({"code": code, "message": ""} | more).encode()


def good(otp="OTP-1", limit=10, online=1, **more):
    return reply(data={"otp": otp, "limit": limit, "online": online}, **more)


def token(url, credentials=CREDENTIALS, pauses=None, **options):
    async def sleep(pause_s):
        pauses.append(pause_s)

    if pauses is not None:
        options["sleep"] = sleep
    return asyncio.run(get_token(credentials, url, **options))


def refused(kind, *answers, **options):
    """Ask a server that does not give a password; return the error, and what was asked."""
    with Server(*answers) as server:
        with pytest.raises(ff.FastfeedError) as caught:
            token(server.url, **options)
    assert type(caught.value) is kind
    for secret in (KEY, SECRET, TOKEN):
        assert secret not in str(caught.value) + caught.value.text
    return caught.value, server.requests


def test_a_password():
    with Server(good("OTP-1", 10, 9, trace="x", msg="ok")) as server:
        found = token(server.url + "/", language="zh-CN", calendar=lambda: 1700000000.25)
    assert found == OneTimePassword("OTP-1", 10, 9)
    [(path, headers)] = server.requests
    assert path == "/v1/socket/token"
    headers = {name.lower(): value for name, value in headers.items()}
    signature = headers.pop("x-api-signature")
    assert signature.endswith("Signature=" + signature_of("/v1/socket/token", "1700000000.250"))
    assert headers == {
        "host": server.url[7:],
        "accept-encoding": "identity",
        "x-api-key": KEY,
        "authorization": TOKEN,
        "x-timestamp": "1700000000.250",
        "x-dc-region": "ap",
        "content-type": "application/json; charset=utf-8",
        "accept-language": "zh-CN",
        "user-agent": "openapi-sdk",
    }


def test_the_path_of_the_address_is_kept_and_signed():
    with Server(good()) as server:
        token(server.url + "/behind/a/proxy/", calendar=lambda: 1.0)
    [(path, headers)] = server.requests
    assert path == "/behind/a/proxy/v1/socket/token"
    assert headers["X-Api-Signature"].endswith("Signature=" + signature_of(path, "1.000"))


def test_the_status_does_not_matter_where_the_reply_can_be_read():
    with Server(good(status=500)) as server:
        assert token(server.url).otp == "OTP-1"


@pytest.mark.parametrize(("limit", "online"), [(10, 10), (10, 11), (0, 0)])
def test_no_more_connections(limit, online):
    error, _ = refused(ff.AuthError, good(limit=limit, online=online))
    assert f"no more connections: {online} of {limit} are open" in str(error)


@pytest.mark.parametrize(
    ("code", "status", "kind", "meaning"),
    [
        (401003, 401, ff.AuthError, "the access token has expired"),
        (401004, 200, ff.AuthError, "the access token is missing or wrong"),
        (403201, 403, ff.AuthError, "the signature is wrong"),
        (403203, 403, ff.AuthError, "the app key is wrong"),
        (403205, 403, ff.AuthError, "this IP address is not allowed"),
        (403202, 403, ff.RequestError, "the request was sent twice"),
        (429002, 429, ff.RateLimitError, "too many requests"),
        (429303, 429, ff.RateLimitError, "the gateway is overloaded"),
        (500000, 500, ff.RequestError, "internal error"),
        (-1, 200, ff.RequestError, "unknown code"),
    ],
)
@pytest.mark.parametrize("name", ["message", "msg"])
def test_refusals_keep_code_and_text(code, status, kind, meaning, name):
    words = f"not with {TOKEN} of {KEY}\n"
    body = json.dumps({"code": code, name: words, "data": None}).encode()
    error, requests = refused(kind, (status, body), pauses=[])
    assert len(requests) == 1
    assert (error.code, error.text) == (code, "not with *** of ***")
    assert f"{meaning} (code {code}: not with *** of ***)" in str(error)


def test_too_many_requests_without_a_reason_are_made_again():
    busy = (429, b"<html>slow down</html>")
    pauses = []
    with Server(*[busy] * 5, good()) as server:
        assert token(server.url, pauses=pauses).otp == "OTP-1"
    assert pauses == [0.1, 0.2, 0.4, 0.8, 1.6]
    pauses = []
    error, requests = refused(ff.RateLimitError, *[busy] * 6, pauses=pauses)
    assert len(requests) == 6
    assert pauses == [0.1, 0.2, 0.4, 0.8, 1.6]
    assert error.code == 429
    assert "6 times" in str(error)


def test_each_of_them_is_signed_anew():
    times = iter((1.0, 1.1))
    with Server((429, b""), good()) as server:
        token(server.url, pauses=[], calendar=lambda: next(times))
    stamps = [headers["X-Timestamp"] for _, headers in server.requests]
    signatures = [headers["X-Api-Signature"][-64:] for _, headers in server.requests]
    assert stamps == ["1.000", "1.100"]
    assert signatures == [signature_of("/v1/socket/token", stamp) for stamp in stamps]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b"{}",
        b'{"code":"0"}',
        b'{"code":0,"message":"\xff"}',
        b'{"code":0,"x":' + b"[" * 30_000,
        reply()[1],
        reply(data=None)[1],
        reply(data={"otp": "x", "limit": 10})[1],
        good(otp="")[1],
        good(otp=None)[1],
        good(online="1")[1],
        b'{"code":0,"data":{"otp":"\\ud800","limit":10,"online":1}}',
    ],
)
@pytest.mark.parametrize("status", [200, 502])
def test_replies_that_cannot_be_read(body, status):
    error, requests = refused(ff.RemoteProtocolError, (status, body), pauses=[])
    assert len(requests) == 1
    assert error.source == "longport"
    assert f"HTTP status {status}" in str(error)


def test_a_reply_that_is_too_long(monkeypatch):
    monkeypatch.setattr(longport_http, "_MOST_BYTES", 100)
    error, _ = refused(ff.RemoteProtocolError, good("x" * 100))
    assert "at most 100 bytes" in str(error)


def test_nobody_listens():
    with contextlib.closing(socket.socket()) as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        with pytest.raises(ff.ConnectError, match="cannot ask LongPort") as caught:
            token(f"http://127.0.0.1:{port}")
    assert TOKEN not in str(caught.value)


def test_nobody_answers():
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(ff.RequestTimeout, match=r"within 0\.2 s"):
            token(f"http://127.0.0.1:{port}", timeout_s=0.2)


def test_no_http():
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as listener:

        def talk():
            connection, _ = listener.accept()
            with connection:
                connection.sendall(b"SSH-2.0\r\n")
                connection.recv(4096)

        thread = threading.Thread(target=talk)
        thread.start()
        with pytest.raises(ff.ConnectError):
            token(f"http://127.0.0.1:{listener.getsockname()[1]}")
        thread.join()


def test_an_address_that_cannot_be():
    with pytest.raises(ff.ConfigError, match="http_url"):
        token("ws://127.0.0.1")
