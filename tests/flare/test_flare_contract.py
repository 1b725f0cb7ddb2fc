"""What fednb relies on in NVIDIA FLARE 2.9: one test a class, constant and behaviour.

When a new FLARE breaks one of these, `fednb.flare` has to change, and only it.
"""

import inspect
import json
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from nvflare.apis.client import Client
from nvflare.apis.event_type import EventType
from nvflare.apis.executor import Executor
from nvflare.apis.fl_component import FLComponent
from nvflare.apis.fl_constant import (
    AdminCommandNames,
    JobConstants,
    ReturnCode,
)
from nvflare.apis.impl.controller import Controller
from nvflare.apis.job_def import ALL_SITES, JobMetaKey, RunStatus
from nvflare.apis.server_engine_spec import ServerEngineSpec
from nvflare.apis.shareable import Shareable, make_reply
from nvflare.apis.signal import Signal
from nvflare.apis.workspace import Workspace
from nvflare.app_common.widgets.component_path_authorizer import (
    CLASS_ALLOW_LIST,
    ComponentPathAuthorizer,
)
from nvflare.fuel.f3.cellnet.defs import ReturnCode as CellReturnCode
from nvflare.fuel.f3.cellnet.fqcn import FQCN
from nvflare.fuel.flare_api import api_spec
from nvflare.fuel.flare_api.flare_api import Session, new_secure_session
from nvflare.fuel.hci.proto import MetaKey
from nvflare.fuel.sec.authz import AuthzContext, Person
from nvflare.private.fed.client.client_run_manager import ClientRunManager
from nvflare.private.fed.server.server_commands import ServerCommands
from nvflare.private.fed.server.server_engine import ServerEngine
from nvflare.security.security import FLAuthorizer

from fednb.flare.provision import AUTHORIZATION, CONTROLLER, EXECUTOR


def names(function):
    return list(inspect.signature(function).parameters)


def test_the_version_is_the_one_that_was_tried():
    assert version("nvflare").split(".")[:2] == ["2", "9"]


def test_an_executor_has_the_two_methods_that_fednb_overrides():
    assert issubclass(Executor, FLComponent)
    assert names(Executor.execute) == [
        "self",
        "task_name",
        "shareable",
        "fl_ctx",
        "abort_signal",
    ]
    assert names(Executor.handle_event) == ["self", "event_type", "fl_ctx"]


def test_a_controller_has_the_four_methods_that_fednb_overrides():
    assert names(Controller.control_flow) == ["self", "abort_signal", "fl_ctx"]
    assert names(Controller.start_controller) == ["self", "fl_ctx"]
    assert names(Controller.stop_controller) == ["self", "fl_ctx"]
    assert names(Controller.process_result_of_unknown_task) == [
        "self",
        "client",
        "task_name",
        "client_task_id",
        "result",
        "fl_ctx",
    ]


def test_runs_begin_and_end_with_these_events():
    assert EventType.START_RUN == "_start_run"
    assert EventType.END_RUN == "_end_run"


def test_return_codes_by_which_a_site_is_found_down():
    assert ReturnCode.OK == "OK"
    assert CellReturnCode.OK == "ok"
    assert CellReturnCode.SERVICE_UNAVAILABLE == "service_unavailable"
    assert ReturnCode.TASK_UNKNOWN == "TASK_UNKNOWN"
    assert make_reply(ReturnCode.OK).get_return_code() == ReturnCode.OK
    assert Shareable().get_return_code() == ReturnCode.OK


@pytest.fixture(scope="module")
def crossed():
    """What two cells said to each other, in a process of their own."""
    done = subprocess.run(  # noqa: S603  (our own interpreter and file)
        [sys.executable, str(Path(__file__).with_name("cells_apart.py"))],
        capture_output=True,
        check=True,
        timeout=60,
    )
    return json.loads(done.stdout)


def test_bytes_cross_between_cells_untouched(crossed):
    # FLARE writes what a stream brought into a log line: of bytes that would take .3 s
    # at 50 MB, of a view nothing
    streamed = {"code": "ok", "error": None, "body": "memoryview, True"}
    assert crossed["stream answer a"] == streamed
    assert crossed["core answer a"] == {**streamed, "body": "bytes, True"}
    assert CellReturnCode.OK == "ok"


def test_an_error_in_a_core_cells_handler_crosses_without_words(crossed):
    found = {"code": "process_exception", "error": None, "body": None}
    assert crossed["core fail a"] == found


def test_an_error_in_a_streams_handler_crosses_with_its_words(crossed):
    # which is why a site's executor lets none out
    assert "patient 17" in crossed["stream fail a"]["error"]


@pytest.mark.parametrize("kind", ["stream", "core"])
def test_a_cell_that_is_not_there_is_told_at_once(crossed, kind):
    found = crossed[f"{kind} answer b"]
    assert found["code"] in {"target_unreachable", "comm_error"}
    assert found["body"] is None


def test_a_sites_cell_of_a_job_is_named_after_both():
    assert FQCN.join(["relay.a", "job"]) == "relay.a.job"
    assert FQCN.split("server.job") == ["server", "job"]
    assert Client("a", "token").get_fqcn() == "a"


def test_engines_give_out_their_cells():
    assert callable(ServerEngine.get_cell)
    assert callable(ClientRunManager.get_cell)


def test_the_server_takes_commands():
    assert names(ServerEngineSpec.register_app_command)[:3] == [
        "self",
        "topic",
        "cmd_func",
    ]
    assert names(ServerEngine.get_client_from_name) == ["self", "client_name"]
    assert callable(ServerEngine.get_workspace)


def test_a_command_is_found_by_its_topic(monkeypatch):
    monkeypatch.setattr(ServerCommands, "app_cmd_registry", {})

    def command(topic, data, fl_ctx):
        return {}

    ServerCommands.register_app_command("fednb", command)
    assert ServerCommands.get_app_command("fednb")[0] is command


def test_a_workspace_says_where_the_kits_own_files_are(tmp_path):
    workspace = Workspace(str(_workspace(tmp_path)), site_name="a")
    assert workspace.get_site_config_dir() == str(tmp_path / "local")


def test_a_signal_says_whether_the_job_is_stopped():
    signal = Signal()
    assert signal.triggered is False
    signal.trigger("stop")
    assert signal.triggered


def test_a_job_is_three_files_of_these_names():
    assert JobConstants.META_FILE == "meta.json"
    assert JobConstants.SERVER_JOB_CONFIG == "config_fed_server.json"
    assert JobConstants.CLIENT_JOB_CONFIG == "config_fed_client.json"
    assert ALL_SITES == "@ALL"
    assert JobMetaKey.JOB_NAME.value == "name"
    assert JobMetaKey.DEPLOY_MAP.value == "deploy_map"
    assert JobMetaKey.MIN_CLIENTS.value == "min_clients"


def test_states_of_a_job_that_may_still_answer():
    assert RunStatus.SUBMITTED.value == "SUBMITTED"
    assert RunStatus.APPROVED.value == "APPROVED"
    assert RunStatus.DISPATCHED.value == "DISPATCHED"
    assert RunStatus.RUNNING.value == "RUNNING"


def test_a_notebooks_session_has_these_methods():
    assert names(new_secure_session)[:4] == [
        "username",
        "startup_kit_location",
        "debug",
        "timeout",
    ]
    assert names(Session.do_app_command) == ["self", "job_id", "topic", "cmd_data"]
    assert names(Session.submit_job)[:2] == ["self", "job_definition_path"]
    assert names(Session.set_timeout) == ["self", "value"]
    assert names(Session.get_job_status) == ["self", "job_id"]
    assert names(Session.abort_job) == ["self", "job_id"]
    assert {"detailed", "limit", "name_prefix"} <= set(names(Session.list_jobs))
    assert names(Session.check_status)[:2] == ["self", "target_type"]
    assert api_spec.TargetType.SERVER == "server"


@pytest.mark.parametrize(
    "name",
    [
        "AuthenticationError",
        "AuthorizationError",
        "InternalError",
        "JobNotFound",
        "JobNotRunning",
        "NoConnection",
        "NoReply",
        "SessionClosed",
    ],
)
def test_errors_of_a_session(name):
    assert issubclass(getattr(api_spec, name), Exception)


def test_a_status_names_sites_and_jobs_that_are_there():
    assert MetaKey.CLIENTS == "clients"
    assert MetaKey.CLIENT_NAME == "client_name"
    assert MetaKey.JOBS == "jobs"
    assert MetaKey.JOB_ID == "job_id"


def test_only_listed_classes_are_built(tmp_path):
    root = _workspace(tmp_path)
    policy = {CLASS_ALLOW_LIST: [EXECUTOR], "class_list_enforcement_mode": "enforce"}
    (root / "local" / "resources.json").write_text(json.dumps(policy))
    guard = ComponentPathAuthorizer()
    workspace = Workspace(str(root), site_name="a")
    guard.authorize_component_config({"path": EXECUTOR}, workspace=workspace)
    for other in (CONTROLLER, EXECUTOR + "Other", "os.system"):
        with pytest.raises(Exception, match="not in allow_list"):
            guard.authorize_component_config({"path": other}, workspace=workspace)


def test_roles_may_do_what_the_policy_says_and_nothing_else():
    authorizer = FLAuthorizer("fednb", AUTHORIZATION)
    asked = {
        AdminCommandNames.SUBMIT_JOB: (True, True),
        AdminCommandNames.LIST_JOBS: (True, True),
        AdminCommandNames.GET_JOB_META: (True, True),
        AdminCommandNames.CHECK_STATUS: (True, True),
        AdminCommandNames.APP_COMMAND: (True, False),
        AdminCommandNames.SHUTDOWN: (False, False),
        AdminCommandNames.DOWNLOAD_JOB: (False, False),
        AdminCommandNames.CLONE_JOB: (False, False),
        AdminCommandNames.SHOW_ERRORS: (False, False),
        AdminCommandNames.GET_JOB_LOG: (False, False),
        AdminCommandNames.SHELL_CAT: (False, False),
        AdminCommandNames.CONFIGURE_SITE_LOG: (False, False),
        "byoc": (False, False),
    }
    found = {
        right: tuple(_may(authorizer, role, right) for role in ("scientist", "keeper"))
        for right in asked
    }
    assert found == asked


def test_a_scientist_ends_only_their_own_sessions():
    authorizer = FLAuthorizer("fednb", AUTHORIZATION)
    right = AdminCommandNames.ABORT_JOB
    assert _may(authorizer, "scientist", right, submitter="one")
    assert not _may(authorizer, "scientist", right, submitter="other")


def _may(authorizer, role, right, submitter="one"):
    user = Person("one", "fednb", role)
    author = Person(submitter, "fednb", role)
    allowed, _ = authorizer.authorize(AuthzContext(right, user, author))
    return allowed


def _workspace(path):
    (path / "startup").mkdir(exist_ok=True)
    (path / "local").mkdir(exist_ok=True)
    return path
