"""Kits: one a party, made as a whole or not at all, open to nothing but fednb."""

import json
import stat

import pytest
from cryptography import x509

from fednb.errors import HomeError, InputError
from fednb.flare.kit import Kit, KitConfig
from fednb.flare.provision import (
    AUTHORIZATION,
    CONTROLLER,
    EXECUTOR,
    ProjectSpec,
    SiteSpec,
    check_project,
    place_job_store,
    provision,
    read_project,
)

USER = "scientist@fednb.local"
KEEPER = "keeper@fednb.local"
PROJECT = """
name: glioma
port: 18002
sites:
  - name: ucsf
    home: /data/fednb
  - name: mayo
"""


@pytest.fixture(scope="module")
def kits(tmp_path_factory):
    root = tmp_path_factory.mktemp("kits")
    (root / "project.yml").write_text(PROJECT)
    return provision(root / "project.yml", root / "out")


def local(kit, name):
    return json.loads((kit / "local" / name).read_text())


def test_every_party_has_a_kit(kits):
    assert list(kits) == ["coordinator", "ucsf", "mayo", USER, KEEPER]
    assert Kit(kits["ucsf"]).config == KitConfig(
        "glioma", "site", "ucsf", "localhost", 18002, ("mayo", "ucsf"), "/data/fednb"
    )
    assert Kit(kits["mayo"]).home == kits["mayo"] / "home"
    assert Kit(kits["coordinator"]).config.kind == "server"
    assert Kit(kits[USER]).config.kind == "user"


def test_nobody_else_reads_a_kit(kits):
    for kit in kits.values():
        assert stat.S_IMODE(kit.stat().st_mode) == 0o700
        for key in (kit / "startup").glob("*.key"):
            assert stat.S_IMODE(key.stat().st_mode) == 0o600
    authority = kits["coordinator"].parent / "authority"
    assert stat.S_IMODE(authority.stat().st_mode) == 0o700


def test_certificates_name_party_and_role(kits):
    names = {
        party: Kit(kit).certificate().subject.rfc4514_string()
        for party, kit in kits.items()
    }
    assert "CN=localhost" in names["coordinator"]
    assert "CN=ucsf" in names["ucsf"]
    oid = x509.NameOID.UNSTRUCTURED_NAME
    roles = {
        party: [a.value for a in Kit(kits[party]).certificate().subject if a.oid == oid]
        for party in ("ucsf", USER, KEEPER)
    }
    assert roles == {"ucsf": [], USER: ["scientist"], KEEPER: ["keeper"]}


def test_only_fednbs_classes_are_built(kits):
    server = local(kits["coordinator"], "resources.json")
    site = local(kits["ucsf"], "resources.json")
    assert server["class_allow_list"] == [CONTROLLER]
    assert site["class_allow_list"] == [EXECUTOR]
    assert server["class_list_enforcement_mode"] == "enforce"
    assert site["class_list_enforcement_mode"] == "enforce"
    for party in ("coordinator", "ucsf", "mayo"):
        assert local(kits[party], "authorization.json") == AUTHORIZATION


def test_no_log_of_a_site_goes_to_the_server(kits):
    site = local(kits["ucsf"], "resources.json")
    assert site["allow_log_streaming"] is False
    assert not [c for c in site["components"] if "log" in c["id"]]


def test_jobs_are_kept_in_the_servers_kit_wherever_it_is(kits, tmp_path):
    store = str(kits["coordinator"] / "jobs")
    text = (kits["coordinator"] / "local" / "resources.json").read_text()
    assert text.count(store) == 2
    assert "/tmp/nvflare" not in text  # noqa: S108  (FLARE's default)
    moved = tmp_path / "moved"
    (moved / "local").mkdir(parents=True)
    (moved / "local" / "resources.json").write_text(text)
    place_job_store(moved)
    assert store not in (moved / "local" / "resources.json").read_text()


def test_kits_are_not_made_over_others(kits):
    folder = kits["coordinator"].parent
    with pytest.raises(HomeError, match="is not empty"):
        provision(ProjectSpec("other", (SiteSpec("a"),)), folder)
    assert Kit(kits["ucsf"]).config.project == "glioma"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"sites": ()}, "at least one site"),
        ({"scientists": ()}, "and one scientist"),
        ({"name": "../etc"}, "letters, digits"),
        ({"sites": (SiteSpec("a"), SiteSpec("a"))}, "Names used twice or reserved: a."),
        ({"sites": (SiteSpec("coordinator"),)}, "reserved: coordinator"),
        ({"scientists": ("somebody",)}, "form of an email address; got ['somebody']"),
        ({"keeper": USER}, f"used twice or reserved: {USER}"),
        ({"host": "a host"}, "The host 'a host' must be a host name."),
        ({"port": 0}, "The port must be within 1 and 65535; got 0."),
    ],
)
def test_an_impossible_project_is_refused_and_nothing_made(change, words, tmp_path):
    fields = {"name": "p", "sites": (SiteSpec("a"),), **change}
    spec = ProjectSpec(**fields)
    with pytest.raises(InputError) as caught:
        provision(spec, tmp_path / "out")
    assert words in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_all_problems_are_listed():
    spec = ProjectSpec("", (), port=-1, scientists=())
    with pytest.raises(InputError) as caught:
        check_project(spec)
    assert "at least one site" in str(caught.value)
    assert "got -1" in str(caught.value)


def test_a_file_that_is_no_project_is_refused(tmp_path):
    path = tmp_path / "project.yml"
    with pytest.raises(InputError, match="cannot be read"):
        read_project(path)
    path.write_text("name: p\nsites: 3\n")
    with pytest.raises(InputError, match="is not a project file"):
        read_project(path)


def test_a_folder_that_is_no_kit_is_refused(tmp_path):
    with pytest.raises(InputError, match="is not a startup kit of fednb"):
        Kit(tmp_path)
    (tmp_path / "local").mkdir()
    (tmp_path / "local" / "fednb.json").write_text("{}")
    with pytest.raises(InputError, match="is not what fednb writes"):
        Kit(tmp_path)


def test_a_kit_of_another_version_is_refused(kits, tmp_path):
    config = local(kits[USER], "fednb.json") | {"protocol": 99}
    (tmp_path / "local").mkdir()
    (tmp_path / "local" / "fednb.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match="speaks protocol version 99"):
        Kit(tmp_path)
