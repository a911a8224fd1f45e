"""The TCP port beside the socket: who is let in, and what is said to those who are not."""

import json
import os
import socket
import subprocess

import httpx
import openai
import pytest

from daemon import BUILD, REFERENCE, Daemon, eventually

MODEL = REFERENCE / "gemma4_8l.gguf"
KEY = "alice-0123456789abcdef"
OTHER_KEY = "bob-0123456789abcdef"
PAGE = "http://localhost:3000"


def port_of(daemon):
    return daemon.tcp_url().rsplit(":", 1)[1]


def key_file(folder, mode=0o600):
    path = folder / "keys"
    path.write_text(f"# who may call\nalice {KEY}\nbob {OTHER_KEY}\n")
    path.chmod(mode)
    return path


def tandemd(*flags):
    """Runs a tandemd that is expected to refuse its flags."""
    return subprocess.run(
        [BUILD / "tandemd", "--no-calibrate", "--model", MODEL, *map(str, flags)], capture_output=True, text=True, timeout=20, check=False
    )


def curl(*arguments):
    done = subprocess.run(
        ["curl", "-sS", "-i", "--max-time", "20", *arguments], capture_output=True, text=True, timeout=30, check=True
    )
    head, _, body = done.stdout.partition("\r\n\r\n") if "\r\n\r\n" in done.stdout else done.stdout.partition("\n\n")
    return int(head.split()[1]), head.lower(), body


@pytest.fixture(scope="module")
def open_port():
    with Daemon(MODEL, "--context", "256", "--listen", "127.0.0.1:0") as daemon:
        yield daemon


@pytest.fixture(scope="module")
def keyed_port(tmp_path_factory):
    folder = tmp_path_factory.mktemp("keyed")
    config = folder / "config.json"
    config.write_text(json.dumps({"listen": {"hosts": ["box.lan"], "origins": [PAGE]}}))
    flags = ["--listen", "127.0.0.1:0", "--api-key-file", str(key_file(folder)), "--config", str(config)]
    with Daemon(MODEL, "--context", "256", *flags) as daemon:
        yield daemon


def test_there_is_no_port_unless_asked_for():
    with Daemon(MODEL) as daemon:
        links = [os.readlink(f"/proc/{daemon.process.pid}/fd/{fd}") for fd in os.listdir(f"/proc/{daemon.process.pid}/fd")]
        inodes = {link[8:-1] for link in links if link.startswith("socket:")}
        for table in ("tcp", "tcp6"):
            for line in open(f"/proc/{daemon.process.pid}/net/{table}").readlines()[1:]:
                assert line.split()[9] not in inodes


def test_curl_completes(open_port):
    body = json.dumps({"prompt": "ab", "max_tokens": 4, "temperature": 0})
    status, _, text = curl(open_port.tcp_url() + "/v1/completions", "-H", "Content-Type: application/json", "-d", body)
    assert status == 200
    assert json.loads(text)["usage"]["completion_tokens"] <= 4


def test_the_openai_client_needs_its_base_url_only(open_port, monkeypatch):
    monkeypatch.setenv("OPENAI_BASE_URL", open_port.tcp_url() + "/v1")
    monkeypatch.setenv("OPENAI_API_KEY", "unused")
    client = openai.OpenAI(max_retries=0)
    whole = client.completions.create(model="any", prompt="hello", max_tokens=20, temperature=0).choices[0].text
    stream = client.completions.create(model="any", prompt="hello", max_tokens=20, temperature=0, stream=True)
    assert "".join(chunk.choices[0].text for chunk in stream) == whole
    direct = open_port.complete(prompt="hello", max_tokens=20, temperature=0)
    assert direct["choices"][0]["text"] == whole


def test_its_own_names_are_served_and_others_are_not(open_port):
    url = open_port.tcp_url() + "/health"
    for host in (f"localhost:{port_of(open_port)}", f"127.0.0.1:{port_of(open_port)}", f"[::1]:{port_of(open_port)}"):
        assert curl(url, "-H", f"Host: {host}")[0] == 200
    for host in ("evil.example", f"evil.example:{port_of(open_port)}", "localhost", "localhost:1"):
        status, _, body = curl(url, "-H", f"Host: {host}")
        assert status == 403
        assert json.loads(body)["error"]["param"] == "Host"
    status, _, _ = curl(url, "-H", "Host:")
    assert status == 403


def test_pages_from_elsewhere_are_refused(open_port):
    url = open_port.tcp_url() + "/v1/completions"
    for origin in ("http://evil.example", "null", "https://127.0.0.1:" + port_of(open_port)):
        status, head, body = curl(url, "-H", f"Origin: {origin}", "-d", '{"prompt": "x"}')
        assert status == 403
        assert "access-control-allow-origin" not in head
        assert json.loads(body)["error"]["param"] == "Origin"
        status, head, _ = curl(url, "-X", "OPTIONS", "-H", f"Origin: {origin}", "-H", "Access-Control-Request-Method: POST")
        assert status == 403
        assert "access-control-allow-origin" not in head
    status, head, _ = curl(open_port.tcp_url() + "/health", "-H", f"Origin: {open_port.tcp_url()}")
    assert status == 200
    assert "access-control" not in head


def test_a_configured_page_may_call(keyed_port):
    url = keyed_port.tcp_url() + "/v1/models"
    preflight = ["-X", "OPTIONS", "-H", f"Origin: {PAGE}", "-H", "Access-Control-Request-Method: GET"]
    status, head, _ = curl(url, *preflight, "-H", "Access-Control-Request-Headers: authorization")
    assert status == 200
    assert f"access-control-allow-origin: {PAGE}" in head
    assert "access-control-allow-headers: authorization" in head
    status, head, _ = curl(url, "-H", f"Origin: {PAGE}", "-H", f"Authorization: Bearer {KEY}")
    assert status == 200
    assert f"access-control-allow-origin: {PAGE}" in head


def test_without_its_key_nobody_is_served(keyed_port):
    url = keyed_port.tcp_url() + "/v1/models"
    for headers in ([], ["-H", "Authorization: Bearer wrong"], ["-H", "X-Api-Key: wrong"], ["-H", f"Authorization: {KEY}"]):
        status, head, body = curl(url, *headers)
        assert status == 401
        assert "www-authenticate: bearer" in head
        assert json.loads(body)["error"]["code"] == "invalid_api_key"
    assert curl(url, "-H", f"X-Api-Key: {KEY}")[0] == 200
    assert curl(url, "-H", f"Authorization: Bearer {OTHER_KEY}", "-H", "Host: box.lan")[0] == 200
    with pytest.raises(openai.AuthenticationError):
        openai.OpenAI(base_url=keyed_port.tcp_url() + "/v1", api_key="wrong", max_retries=0).models.list()
    assert openai.OpenAI(base_url=keyed_port.tcp_url() + "/v1", api_key=KEY, max_retries=0).models.list().data


def test_the_socket_needs_no_key(keyed_port):
    assert keyed_port.client.get("/v1/models").status_code == 200


def test_a_key_ends_its_owners_requests_only(keyed_port):
    def client(key):
        return httpx.Client(base_url=keyed_port.tcp_url(), headers={"Authorization": f"Bearer {key}"}, timeout=60)

    body = {"prompt": "hello", "max_tokens": 250, "temperature": 0, "stream": True}
    with client(KEY) as alice, client(OTHER_KEY) as bob, alice.stream("POST", "/v1/completions", json=body) as answer:
        lines = answer.iter_lines()  # kept: its end would close the stream
        next(lines)
        request = keyed_port.client.get("/v1/requests").json()["data"]
        if request:  # else it has ended already, and there is nothing to protect
            assert request[0]["owner"] == "key:alice"
            assert bob.delete("/v1/requests/" + request[0]["id"]).status_code in (403, 404)
    assert keyed_port.idle()


def test_keys_are_neither_logged_nor_shown(keyed_port):
    curl(keyed_port.tcp_url() + "/health", "-H", f"X-Api-Key: {KEY}")
    assert KEY not in keyed_port.log.read_text()
    assert KEY not in keyed_port.client.get("/metrics").text


@pytest.mark.parametrize("address", ["0.0.0.0:0", "[::]:0", "192.0.2.1:8080"])
def test_other_machines_need_a_key_file(tmp_path, address):
    ended = tandemd("--socket", tmp_path / "s", "--listen", address)
    assert ended.returncode == 1
    assert "needs API keys" in ended.stderr and "--api-key-file" in ended.stderr
    assert not (tmp_path / "s").exists()


def test_with_a_key_file_other_addresses_are_served(tmp_path):
    with Daemon(MODEL, "--listen", "0.0.0.0:0", "--api-key-file", str(key_file(tmp_path))) as daemon:
        url = f"http://127.0.0.1:{port_of(daemon)}/health"
        assert curl(url, "-H", f"X-Api-Key: {KEY}")[0] == 200
        assert curl(url)[0] == 401


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604])
def test_a_key_file_that_others_can_read_is_refused(tmp_path, mode):
    ended = tandemd("--socket", tmp_path / "s", "--listen", "127.0.0.1:0", "--api-key-file", key_file(tmp_path, mode))
    assert ended.returncode == 1
    assert "chmod 600" in ended.stderr
    assert KEY not in ended.stderr


@pytest.mark.parametrize(
    "address, words",
    [
        ("8080", "there is no port"),
        ("example.org:80", "is not an IP address"),
        ("127.0.0.1:99999", "0 to 65535"),
    ],
)
def test_a_bad_address_is_a_usage_error(tmp_path, address, words):
    ended = tandemd("--socket", tmp_path / "s", "--listen", address)
    assert ended.returncode == 1
    assert words in ended.stderr


def test_a_port_in_use_is_said_to_be(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ended = tandemd("--socket", tmp_path / "s", "--listen", f"127.0.0.1:{taken.getsockname()[1]}")
    assert ended.returncode == 4
    assert "another process listens at this port" in ended.stderr


def test_keys_without_a_port_are_a_mistake(tmp_path):
    ended = tandemd("--socket", tmp_path / "s", "--api-key-file", key_file(tmp_path))
    assert ended.returncode == 1
    assert "--listen" in ended.stderr


def test_leaving_ends_the_request():
    with Daemon(MODEL, "--context", "8192", "--listen", "127.0.0.1:0") as daemon:
        body = {"prompt": "hello", "max_tokens": 8000, "temperature": 0, "stream": True}  # repeats itself for ever
        with httpx.Client(base_url=daemon.tcp_url(), timeout=60) as client:
            with client.stream("POST", "/v1/completions", json=body) as answer:
                lines = answer.iter_lines()  # kept: its end would close the stream
                next(lines)
                assert daemon.client.get("/v1/requests").json()["data"]
        assert daemon.idle()


def test_socat_in_front_of_the_socket():
    with Daemon(MODEL, "--context", "256") as daemon, socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
        free.close()
        listen = f"TCP-LISTEN:{port},bind=127.0.0.1,fork,reuseaddr"
        socat = subprocess.Popen(["socat", listen, f"UNIX-CONNECT:{daemon.socket}"])
        try:
            def connects():
                try:
                    socket.create_connection(("127.0.0.1", port), 1).close()
                    return True
                except OSError:
                    return False

            assert eventually(connects)
            client = openai.OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="unused", max_retries=0)
            stream = client.completions.create(model="any", prompt="hello", max_tokens=8, stream=True)
            assert [chunk for chunk in stream]
        finally:
            socat.terminate()
            socat.wait(10)


def test_a_trusted_proxy_says_for_whom_it_speaks(tmp_path):
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"socket": {"proxy_uids": [os.getuid()]}}))
    body = {"prompt": "hello", "max_tokens": 8000, "temperature": 0, "stream": True}
    with Daemon(MODEL, "--context", "8192", "--config", str(config)) as daemon:
        headers = {"X-Tandem-Owner": "carol", "X-Forwarded-For": "192.0.2.7"}
        with daemon.client.stream("POST", "/v1/completions", json=body, headers=headers) as answer:
            lines = answer.iter_lines()  # kept: its end would close the stream
            next(lines)
            assert daemon.new_client().get("/v1/requests").json()["data"][0]["owner"] == "proxy:carol"
    with Daemon(MODEL) as daemon:
        refused = daemon.client.get("/health", headers={"X-Tandem-Owner": "carol"})
        assert refused.status_code == 403
        assert "socket.proxy_uids" in refused.json()["error"]["message"]
