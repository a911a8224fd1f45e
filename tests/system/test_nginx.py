"""nginx in front of the socket, with config/nginx.conf as it is shipped but for its paths and its port."""

import json
import os
import socket
import ssl
import subprocess

import httpx
import pytest

from daemon import REFERENCE, ROOT, Daemon, eventually

MODEL = REFERENCE / "gemma4_8l.gguf"
FOR_EVER = {"model": "any", "prompt": "hello", "max_tokens": 8000, "temperature": 0, "stream": True}  # it repeats itself
CHAT = {"model": "any", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 12, "temperature": 0}


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return taken.getsockname()[1]


class Nginx:
    """Context manager: nginx with the shipped file, its workers as this user."""

    def __init__(self, folder, daemon, *changes):
        self.folder = folder
        self.port = free_port()
        self.certificate = folder / "tandem.pem"
        site = (ROOT / "config" / "nginx.conf").read_text()
        places = [
            ("unix:/run/tandem/tandem.sock", f"unix:{daemon.socket}"),
            ("listen 443 ssl", f"listen 127.0.0.1:{self.port} ssl"),
            ("/etc/nginx/", f"{folder}/"),
        ]
        for shipped, here in [*places, *changes]:
            assert shipped in site
            site = site.replace(shipped, here)
        (folder / "site.conf").write_text(site)
        (folder / "tandem.users").write_text("carol:{PLAIN}c\ndave:{PLAIN}d\n")
        user = "user root root;" if os.geteuid() == 0 else ""
        scratch = "".join(f"{name}_temp_path {folder}/{name};" for name in
                          ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        (folder / "nginx.conf").write_text(
            f"daemon off; {user} worker_processes 1; pid {folder}/pid; events {{}}\n"
            f"http {{ access_log off; {scratch} include {folder}/site.conf; }}\n")
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1",
             "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", folder / "tandem.key",
             "-out", self.certificate], check=True, capture_output=True, timeout=60)

    def __enter__(self):
        with (self.folder / "nginx.log").open("wb") as log:
            self.process = subprocess.Popen(
                ["nginx", "-p", self.folder, "-e", "stderr", "-c", self.folder / "nginx.conf"], stdout=log, stderr=log,
                env={**os.environ, "PATH": os.environ["PATH"] + ":/usr/sbin:/sbin"})
        if not eventually(self.listens, 20):
            self.process.kill()
            raise RuntimeError((self.folder / "nginx.log").read_text())
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(20)

    def listens(self):
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
            return True
        except OSError:
            return False

    def client(self, user=None, password=None, **options):
        trust = ssl.create_default_context(cafile=str(self.certificate))
        auth = (user, password) if user else None
        return httpx.Client(base_url=f"https://127.0.0.1:{self.port}", verify=trust, auth=auth, timeout=60, **options)


def requests_of(daemon):
    return daemon.client.get("/v1/requests").json()["data"]


@pytest.fixture(scope="module")
def daemon(tmp_path_factory):
    config = tmp_path_factory.mktemp("daemon") / "config.json"
    config.write_text(json.dumps({"socket": {"mode": "0660", "proxy_uids": [os.getuid()]}}))
    with Daemon(MODEL, "--context", "8192", "--config", str(config)) as daemon:
        yield daemon


@pytest.fixture(scope="module")
def nginx(daemon, tmp_path_factory):
    with Nginx(tmp_path_factory.mktemp("nginx"), daemon) as nginx:
        yield nginx


def test_a_chat_streams_through(daemon, nginx):
    direct = daemon.client.post("/v1/chat/completions", json=CHAT).json()["choices"][0]["message"]
    with nginx.client("carol", "c") as client:
        whole = client.post("/v1/chat/completions", json=CHAT).json()["choices"][0]["message"]
        assert whole["content"] == direct["content"]
        text = ""
        with client.stream("POST", "/v1/chat/completions", json={**CHAT, "stream": True}) as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            lines = [line[6:] for line in answer.iter_lines() if line.startswith("data: ")]
        for line in lines[:-1]:
            text += json.loads(line)["choices"][0]["delta"].get("content", "")
        assert lines[-1] == "[DONE]"
        assert text == direct["content"]


def test_without_a_password_nginx_lets_nobody_in(nginx):
    for user, password in ((None, None), ("carol", "d"), ("mallory", "c")):
        with nginx.client(user, password) as client:
            assert client.get("/v1/models").status_code == 401


def test_tokens_come_as_they_are_made_and_leaving_ends_the_request(daemon, nginx):
    with nginx.client("carol", "c") as client:
        with client.stream("POST", "/v1/completions", json=FOR_EVER) as answer:
            lines = answer.iter_lines()  # kept: its end would close the stream
            next(line for line in lines if line.startswith("data: "))
            assert requests_of(daemon), "the answer has only begun"
    assert daemon.idle()


def test_nginx_says_who_asks_whatever_the_client_says(daemon, nginx):
    claims = {"X-Tandem-Owner": "mallory", "X-Tandem-Client": "editor"}
    with nginx.client("carol", "c", headers=claims) as carol, nginx.client("dave", "d", headers=claims) as dave:
        with carol.stream("POST", "/v1/completions", json=FOR_EVER) as answer:
            lines = answer.iter_lines()  # kept: its end would close the stream
            next(line for line in lines if line.startswith("data: "))
            [request] = requests_of(daemon)
            assert request["owner"] == "proxy:carol/editor"
            assert dave.delete("/v1/requests/" + request["id"]).status_code == 403
            assert requests_of(daemon)
            assert carol.delete("/v1/requests/" + request["id"]).status_code == 200
            assert any("request_cancelled" in line for line in lines)
    assert daemon.idle()


def test_who_has_no_name_shares_nothing(daemon, tmp_path):
    """A proxy that asks for no password names nobody: each request is its own owner's."""
    with Nginx(tmp_path, daemon, ("auth_basic tandem", "auth_basic off")) as nginx, nginx.client() as one, nginx.client() as other:
        with one.stream("POST", "/v1/completions", json=FOR_EVER) as answer:
            lines = answer.iter_lines()  # kept: its end would close the stream
            next(line for line in lines if line.startswith("data: "))
            [request] = requests_of(daemon)
            assert request["owner"].startswith(f"{os.getuid()}/forwarded-")
            assert other.delete("/v1/requests/" + request["id"]).status_code == 403
        assert daemon.idle()


def test_a_proxy_that_nobody_configured_is_not_believed(tmp_path):
    with Daemon(MODEL, "--context", "256") as daemon, Nginx(tmp_path, daemon) as nginx, nginx.client("carol", "c") as client:
        refused = client.post("/v1/messages", json={})
        assert refused.status_code == 403
        assert refused.json()["type"] == "error"
        assert "socket.proxy_uids" in refused.json()["error"]["message"]
