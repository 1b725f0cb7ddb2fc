"""What the documents name is there: modules, public names, commands, options."""

from __future__ import annotations

import ast
import re
import shlex
import tomllib
from pathlib import Path

import pytest
import typer

import fednb
from fednb.cli import app
from fednb.flare.provision import check_project, read_project
from fednb.owner.datasets import read_columns

ROOT = Path(__file__).parents[1]
PACKAGES = {p.parent.name for p in (ROOT / "fednb").glob("*/__init__.py")}
DOCUMENTS = ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md")


def text(document: str) -> str:
    return (ROOT / document).read_text()


def blocks(document: str, language: str) -> list[str]:
    """Return the fenced blocks of a language; "" for those that name none."""
    found = re.findall(
        r"^```(\w*)\n(.*?)^```$", text(document), re.DOTALL | re.MULTILINE
    )
    return [body for named, body in found if named == language]


def quoted(document: str) -> list[str]:
    """Return what stands in single backticks."""
    prose = re.sub(r"```.*?```", "", text(document), flags=re.DOTALL)
    return re.findall(r"`([^`\n]+)`", prose)


def is_named(dotted: str) -> bool:
    """Whether a module of fednb, or a name in one, is there; nothing is imported."""
    parts = dotted.removesuffix(".py").replace("/", ".").removeprefix("fednb.")
    names = parts.rstrip(".").split(".")
    path = ROOT / "fednb"
    for place, name in enumerate(names):
        if (path / name).is_dir():
            path /= name
            continue
        module = path / f"{name}.py"
        if module.is_file():
            return all(defines(module, rest) for rest in names[place + 1 :])
        return defines(path / "__init__.py", name)
    return True


def defines(module: Path, name: str) -> bool:
    tree = ast.parse(module.read_text())
    found = {getattr(node, "name", "") for node in ast.walk(tree)}
    stored = {
        node.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    }
    return name in found | stored


@pytest.mark.parametrize("document", DOCUMENTS)
def test_modules_that_a_document_names_are_there(document: str):
    missing = [
        word
        for word in quoted(document)
        if re.fullmatch(r"[a-z_]+([./][a-z_]+)+", word)
        and re.split(r"[./]", word.removeprefix("fednb."))[0] in PACKAGES
        and not is_named(word)
    ]
    assert not missing


def test_public_names_that_a_document_names_are_public():
    for document in DOCUMENTS:
        code = " ".join([*quoted(document), *blocks(document, "python")])
        named = set(re.findall(r"\bfednb\.([A-Za-z_]+)", code))
        assert named - PACKAGES <= {*fednb.__all__, "egg"}, document


def test_python_in_the_readme_is_python():
    found = blocks("README.md", "python")
    assert found
    for block in found:
        ast.parse(block)


def test_columns_in_the_readme_can_be_declared(tmp_path: Path):
    (block,) = blocks("README.md", "toml")
    path = tmp_path / "columns.toml"
    path.write_text(block)
    (column,) = read_columns(path)
    assert set(tomllib.loads(block)["columns"][0]) <= set(column.__struct_fields__)
    assert len(column.grid()) == 1 + column.upper / column.step


def test_the_project_in_the_readme_can_be_provisioned(tmp_path: Path):
    (block,) = blocks("README.md", "yaml")
    path = tmp_path / "project.yml"
    path.write_text(block)
    project = read_project(path)
    check_project(project)
    assert project.name == "glioma-network"
    assert set(re.findall(r"^(\w+):", block, re.MULTILINE)) <= set(
        project.__struct_fields__
    )


def test_layers_in_the_map_are_those_that_lint_holds():
    project = tomllib.loads(text("pyproject.toml"))
    layers = project["tool"]["importlinter"]["contracts"][0]["layers"]
    rows = re.findall(r"^\| \d+ \| (.*?) \|", text("ARCHITECTURE.md"), re.MULTILINE)
    shown = [set(re.findall(r"`([a-z]+)`", row)) for row in rows]
    held = [{part.strip() for part in layer.split("|")} for layer in layers]
    # the map draws the three files below all packages as one
    assert shown == [*held[:-3], set().union(*held[-3:])]


def commands() -> list[str]:
    """Return the lines of the README in which fednb is typed."""
    lines = "\n".join(blocks("README.md", "")).splitlines()
    prose = [word for word in quoted("README.md") if word.startswith("fednb ")]
    typed = [line.split("#")[0].strip() for line in [*lines, *prose]]
    return [line for line in typed if line.startswith("fednb ")]


@pytest.mark.parametrize("line", commands())
def test_commands_in_the_readme_are_there(line: str):
    words = shlex.split(line.replace("[", "").replace("]", "").replace("|", " | "))
    command = typer.main.get_command(app)
    for word in words[1:]:
        command = getattr(command, "commands", {}).get(word, command)
    assert not hasattr(command, "commands"), f"no such command: {line}"
    known = {option for p in command.params for option in p.opts}
    assert {word for word in words if word.startswith("--")} <= known
