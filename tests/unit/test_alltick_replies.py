"""Replies of AllTick by HTTP that are none, or that say too much."""

import asyncio

import pytest

import fastfeed as ff

TOKEN = "0123456789abcdef-c-app"


def pull(body, status=200, ask=None):
    """Ask for something that is answered by this."""

    async def main():
        feed = ff.AllTick(token=TOKEN)

        async def fetch(*_):
            return status, body

        feed._fetch = fetch
        if ask is not None:
            return await ask(feed)
        return await feed.get_bars("700.HK")

    return asyncio.run(main())


NESTED = b"[" * 200_000


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b'{"ret":200,"msg":"\xff"}',
        b'{"ret":200,"x":' + NESTED,
        b'{"ret":200}',
        b'{"ret":200,"data":{"kline_list":[{"timestamp":"\xff"}]}}',
    ],
)
def test_replies_that_cannot_be_read(body):
    with pytest.raises(ff.RemoteProtocolError, match="AllTick's reply cannot be read"):
        pull(body)
    with pytest.raises(ff.RequestError, match="code 502"):
        pull(body, 502)


@pytest.mark.parametrize("time", ["99999999999", "99999999999999", "9223372037", "-1", "1e9", ""])
def test_times_that_cannot_be(time):
    numbers = "".join(f',"{name}_price":"1"' for name in ("open", "high", "low", "close"))
    bar = f'{{"timestamp":"{time}"{numbers}}}'
    with pytest.raises(ff.RemoteProtocolError, match="expected a time from AllTick"):
        pull(f'{{"ret":200,"data":{{"kline_list":[{bar}]}}}}'.encode())


def test_what_a_refusal_says_is_masked_in_one_line_and_not_too_long():
    words = f"bad token={TOKEN} \\u001b[31m\\n" + "x" * 10_000
    with pytest.raises(ff.AuthError) as refused:
        pull(f'{{"ret":401,"msg":"{words}"}}'.encode())
    text = str(refused.value)
    assert TOKEN not in text
    assert text.isprintable()
    assert len(text) < 400
    assert refused.value.text in text


def test_codes_that_nobody_asked_for_take_no_place_in_the_symbols():
    items = ",".join(f'{{"code":"{name}","price":"1"}}' for name in ("700.HK", "OTHER.HK"))
    body = f'{{"ret":200,"data":{{"tick_list":[{items}]}}}}'.encode()

    async def ask(feed):
        rows = await feed.get_ticks("700.HK")
        return [feed.symbols[i] for i in rows["symbol"]], len(feed.symbols)

    assert pull(body, ask=ask) == (["700.HK"], 1)
