"""The vendors' own clients, each call of one a process: their packages start threads and install signal handlers."""

import asyncio
import json
import os
import sys


async def run_official(script, *arguments, home):
    """Return what a script says, one line of JSON; its files go to the folder `home`."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(script),
        *map(str, arguments),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=os.environ | {"HOME": str(home)},
    )
    try:
        async with asyncio.timeout(60):
            output, errors = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    lines = [line for line in output.decode().splitlines() if line.startswith('{"')]
    assert len(lines) == 1, (output.decode(), errors.decode())
    return json.loads(lines[0])
