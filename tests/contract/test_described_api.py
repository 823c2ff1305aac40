"""The running API against its own description: whatever fits the schema, or just does not, is answered in good order.

Requests are made by schemathesis from /openapi.json, few for each operation and the same ones in every run.
"""

import sys

import pytest
import requests
import schemathesis
from components.environments import serving
from contract.promises import OPEN_ENDED, SETTINGS, check_error
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import Unsatisfiable

EACH = 12
LEFT_OUT = OPEN_ENDED | {("post", "/api/auth/logout")}  # it would end the session that all others run in
DOWN = {501, 503}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """Run the host with every installed plugin as a process, and sign in."""
    command = [sys.executable, "-c", "from cloudos_host.cli.main import main; main()"]
    options = ["serve", "--port", "0", "--data-dir", tmp_path_factory.mktemp("data")]
    proxy = {f"CLOUDOS_PROXY__{key.upper()}": str(value) for key, value in SETTINGS["proxy"].items()}
    with serving([*command, *options], **proxy) as server:  # on ports of loopback that are nobody's
        server.sign_in()
        yield server


def operations(server):
    schema = schemathesis.openapi.from_url(f"{server.url}/openapi.json")
    for result in schema.get_all_operations():
        operation = result.ok()
        if (operation.method.lower(), operation.path) not in LEFT_OUT:
            yield operation


def ask(server, case):
    """Send a case, signed in; sign in anew where an earlier one ended the session."""
    answer = send(server, case)
    if answer.status_code == 401 and (answer.json() or {}).get("error") == "session_revoked":
        server.sign_in()
        answer = send(server, case)
    return answer


def send(server, case):
    headers = {**case.headers, "Authorization": f"Bearer {server.token}"}
    kwargs = case.as_transport_kwargs(base_url=server.url)
    return requests.request(**{**kwargs, "headers": {**kwargs.get("headers", {}), **headers}}, timeout=20)


def judge(answer, where):
    assert answer.status_code < 500 or answer.status_code in DOWN, f"{where}: {answer.status_code} {answer.text[:300]}"
    if answer.status_code >= 400:
        check_error(answer.status_code, answer.headers.get("Content-Type", ""), answer.json(), where=where)
    elif answer.status_code == 204:
        assert not answer.content, f"{where}: 204 with a body"


def probe(server, operation, mode):
    """Send requests to one operation and judge the answers."""

    @seed(2026)
    @settings(
        max_examples=EACH,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def check(case):
        where = f"{operation.method.upper()} {operation.path} <- {case.path_parameters} {case.query} {case.body!r:.200}"
        judge(ask(server, case), where)

    check()


@pytest.mark.parametrize("mode", list(schemathesis.GenerationMode), ids=lambda mode: mode.value)
def test_every_described_operation_answers_in_good_order(server, mode):
    found, wrong = list(operations(server)), []
    assert len(found) > 15
    for operation in found:
        try:
            probe(server, operation, mode)
        except AssertionError as error:
            wrong.append(str(error).splitlines()[0])
        except Unsatisfiable:
            assert mode is schemathesis.GenerationMode.NEGATIVE, "what fits the schema can be made"
        assert server.process.poll() is None, f"the host died of {operation.method} {operation.path}"
    assert not wrong, "\n".join(wrong)
    assert server.request("GET", "/api/health")[0] == 200
