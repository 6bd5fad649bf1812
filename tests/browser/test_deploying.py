"""The page where others reach it: behind nginx under a prefix, as a Hugging Face Space, as its container starts it."""

import getpass
import json
import re
import shutil
import socket
import subprocess
import zipfile
from pathlib import Path

import httpx
import pytest
import yaml
from gradio_client import Client
from playwright.sync_api import expect

from gpt.ui.server import options
from tests.browser.conftest import new_page, wait_until_ready, watch
from tests.browser.test_page import PATIENT, choose_run, open_box, show
from tests.browser.test_runs import select_only
from tests.forkserver import PROJECT
from tests.serving import free_port, serve, served
from tests.sessions import until

NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
NAME, PASSWORD = "anna", "correct horse"
DEPLOYING = PROJECT / ".github"


@pytest.fixture
def proxied(root, tmp_path):
    """The address of the page behind nginx, which reads the lines that the project gives, at a port of its own."""
    if NGINX is None:
        pytest.skip("no nginx on this machine")
    port = free_port()
    with served(root, "--root-path", "/gpt", "--auth", f"{NAME}:{PASSWORD}") as url:
        lines = (DEPLOYING / "nginx.conf").read_text(encoding="utf-8").replace("http://127.0.0.1:7860/", f"{url}/")
        folders = "\n".join(f"{kind}_temp_path {tmp_path}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        (tmp_path / "nginx.conf").write_text(
            f"user {getpass.getuser()}; daemon off; worker_processes 1; pid {tmp_path}/pid; error_log {tmp_path}/errors;\nevents {{}}\n"
            f"http {{ access_log off; {folders}\nserver {{ listen 127.0.0.1:{port};\n{lines}\n}} }}\n")
        nginx = subprocess.Popen([NGINX, "-c", str(tmp_path / "nginx.conf"), "-e", str(tmp_path / "errors")])
        try:
            until(lambda: answers(port))
            yield f"http://127.0.0.1:{port}/gpt"
        finally:
            nginx.terminate()
            nginx.wait(30)


def answers(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def test_behind_nginx_with_a_prefix_everything_works(browser, root, tmp_path, proxied):
    """Page, login, upload, streaming, download; nothing is asked for outside the prefix."""
    context, faults = browser.new_context(), []
    page = new_page(context, proxied)
    page.goto(proxied)  # without the slash at the end
    page.get_by_label("username").fill(NAME)
    page.get_by_label("password").fill(PASSWORD)
    watch(page, proxied, faults)
    page.get_by_role("button", name="Login").click()
    wait_until_ready(page)
    assert page.url.startswith(f"{proxied}/")

    text = tmp_path / "proxied.txt"
    text.write_text("a text that went through nginx, of some sixty letters and more\n" * 3000)  # 190 kB
    open_box(page, "Your own text")
    page.locator("#upload").wait_for()
    page.on("filechooser", lambda chooser: chooser.set_files(text))
    with page.expect_response(lambda answer: answer.url.startswith(f"{proxied}/gradio_api/upload"), timeout=PATIENT):
        page.locator("#upload").click()
    expect(page.locator("#source input")).to_have_value("proxied", timeout=PATIENT)

    show(page, "Generate")
    choose_run(page, "generate", "hostile")
    page.locator("#prompt textarea").fill("<b>")
    page.evaluate("""() => {
        const shown = document.querySelector("#writing");
        window.lengths = new Set();
        new MutationObserver(() => lengths.add(shown.textContent.length)).observe(shown, { childList: true, subtree: true });
    }""")
    page.locator("#generate").click()
    expect(page.locator("#writing")).to_contain_text("per second", timeout=PATIENT)
    assert page.evaluate("lengths.size") > 2  # it grew, and did not come in one piece

    show(page, "Attention")
    page.locator("#explorer .gpt-mosaic .main-svg").first.wait_for(timeout=PATIENT)

    show(page, "Runs")
    select_only(page, "hostile")
    with page.expect_download(timeout=PATIENT) as download:
        page.locator("#download").click()
    download.value.save_as(tmp_path / "hostile.zip")
    with zipfile.ZipFile(tmp_path / "hostile.zip") as archive:
        assert archive.read("hostile/best.safetensors") == (root / "hostile" / "best.safetensors").read_bytes()
    context.close()
    assert not faults, faults


def test_no_way_around_the_guard_leads_through_the_prefix(proxied):
    with httpx.Client(base_url=proxied) as http:
        assert http.post("/login", data={"username": NAME, "password": PASSWORD}).status_code == 200
        [path] = http.post("/gradio_api/upload", files={"files": ("evil.html", b"<script>alert(1)</script>")}).json()
        for prefix in ("", "/gpt", "/gpt/gpt"):
            for address in (f"/gradio_api/file={path}", "/gradio_api/file=/etc/passwd", "/gradio_api/proxy=http://example.org/",
                            "/gradio_api/deep_link?session_hash=x"):
                answer = http.get(f"{prefix}{address}")
                assert answer.status_code in (403, 404), prefix + address
                assert "alert" not in answer.text


def test_programs_reach_the_endpoints_behind_nginx(proxied):
    client = Client(f"{proxied}/", auth=(NAME, PASSWORD), verbose=False, analytics_enabled=False)
    job = client.submit("hostile", "<b>", max_new_tokens=8, api_name="/generate")
    assert job.result().startswith("<b>")
    assert len(job.outputs()) > 1
    assert httpx.post(f"{proxied}/gradio_api/api/stop", json={"data": [""]}).status_code == 401
    evil = {"origin": "http://evil.example"}
    assert httpx.post(f"{proxied}/gradio_api/api/stop", json={"data": [""]}, headers=evil).status_code == 403


def settings_of_the_space() -> dict:
    return yaml.safe_load((DEPLOYING / "space" / "README.md").read_text(encoding="utf-8").split("---")[1])


def test_the_settings_of_the_space_are_those_of_the_project():
    settings = settings_of_the_space()
    pinned = dict(re.findall(r"^([a-z]+)==(.+)$", (PROJECT / "requirements.txt").read_text(), re.MULTILINE))
    assert (settings["sdk"], settings["sdk_version"]) == ("gradio", pinned["gradio"])
    assert (PROJECT / settings["app_file"]).is_file()
    assert settings["license"] == "mit"
    assert len(settings["short_description"]) <= 60


def test_the_space_serves_a_public_page(tmp_path):
    """Its app_file, started as a Space starts it, in a copy of the project."""
    for part in ("demo.py", "gpt", ".github"):
        (shutil.copytree if (PROJECT / part).is_dir() else shutil.copy)(PROJECT / part, tmp_path / part)
    shutil.copytree(PROJECT / "checkpoints" / "stories", tmp_path / "checkpoints" / "stories")
    port = free_port()
    demo = serve(tmp_path, port, command=[settings_of_the_space()["app_file"]], cwd=tmp_path, GRADIO_SERVER_PORT=str(port),
                 SPACE_ID="somebody/gpt", SYSTEM="spaces", PASSWORD="a long password")
    try:
        public = {"host": "somebody-gpt.hf.space", "origin": "https://somebody-gpt.hf.space", "x-forwarded-proto": "https"}
        assert httpx.get(f"http://127.0.0.1:{port}/", headers=public).status_code == 200
        config = httpx.get(f"http://127.0.0.1:{port}/config", headers=public).json()
        assert "This page is public" in json.dumps(config)
        assert config["root"] == "https://somebody-gpt.hf.space"
        client = Client(f"http://127.0.0.1:{port}", verbose=False, analytics_enabled=False)
        assert [run["run"] for run in client.predict(api_name="/runs")] == ["stories"]
    finally:
        demo.terminate()
        assert demo.wait(60) == 0


def instructions(name: str) -> list[str]:
    lines = (DEPLOYING / "container" / "Containerfile").read_text(encoding="utf-8").splitlines()
    return [line.removeprefix(f"{name} ") for line in lines if line.startswith(f"{name} ")]


def test_the_container_starts_a_page_that_may_be_reached(root):
    """Its command, as the container would start it, at another port."""
    entry, arguments = (json.loads(instructions(name)[0]) for name in ("ENTRYPOINT", "CMD"))
    assert entry[:2] == ["python", "demo.py"]
    assert entry[entry.index("--port") + 1] in instructions("EXPOSE")
    options.parse([*entry[2:], *arguments])
    options.parse([*entry[2:], "--auth", f"{NAME}:{PASSWORD}"])
    port = free_port()
    flags = [word if word != "7860" else str(port) for word in entry[2:]]
    demo = serve(root, port, *flags, *arguments)
    try:
        assert "This page is public" in httpx.get(f"http://127.0.0.1:{port}/config").text
    finally:
        demo.terminate()
        assert demo.wait(60) == 0


def test_the_container_has_all_that_the_page_needs():
    ignored = Path(DEPLOYING / "container" / "Containerfile.dockerignore").read_text().split()
    assert not {"demo.py", "gpt", "requirements.txt"} & set(ignored)
    assert "!checkpoints/stories" in ignored
    assert ". ." in [line.split(" ", 1)[1] if line.startswith("--chown") else line for line in instructions("COPY")]
    assert instructions("USER") == ["reader"]
