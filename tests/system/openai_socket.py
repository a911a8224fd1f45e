"""OpenAI's own client over a daemon's socket."""

import httpx
import openai

from daemon import Daemon


def client_of(daemon: Daemon) -> openai.OpenAI:
    transport = httpx.HTTPTransport(uds=str(daemon.socket))
    return openai.OpenAI(
        base_url="http://localhost/v1", api_key="unused", http_client=httpx.Client(transport=transport), max_retries=0
    )
