"""What MkDocs does for this site beyond its plugins: see `mkdocs.yml`."""

import contextlib
import io
import os
import re
import sys
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))  # the help of this checkout's commands
ROOT_PAGES = {"CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md", "README.md": "index.md"}
_HELP = re.compile(r"<!-- pm-vit (?P<command>[\w-]+) -->")
_MODULES = re.compile(r"<!-- modules (?P<package>[\w.]+) -->")
_LINK = re.compile(r"\]\((?P<target>[^)#:\s]+)(?P<anchor>#[^)]*)?\)")
_CODE = re.compile(r"<code>([^<]*`[^<]*)</code>")
_TRANSFORMERS_REFERENCE = re.compile(r"\[(<code>[^<]+</code>)\](?!\()")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the pages that lie at the top of the repository."""
    for name, page in ROOT_PAGES.items():
        if page != "index.md" and (ROOT / name).is_file():
            text = (ROOT / name).read_text(encoding="utf-8")
            text = _LINK.sub(lambda match: _site_link(match, config.repo_url), text)
            files.append(File.generated(config, page, content=text))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """
    Replaces `<!-- pm-vit COMMAND -->` by the help of the command, and `<!-- modules PACKAGE -->` by the docstrings of a
    package's modules.
    """
    markdown = _HELP.sub(lambda match: f"```text\n{command_help(match['command'])}\n```", markdown)
    return _MODULES.sub(lambda match: "\n".join(map(_documented, modules(match["package"]))), markdown)


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """
    The docstrings of the travelling files follow those of transformers: classes in brackets, types in Markdown, which
    mkdocstrings would show as they are.
    """
    if not page.url.startswith("reference/"):
        return html
    html = _CODE.sub(lambda match: f"<code>{re.sub('[`*]', '', match[1])}</code>", html)
    return _TRANSFORMERS_REFERENCE.sub(r"\1", html)


def command_help(command: str) -> str:
    """What `pm-vit COMMAND --help` prints on a terminal of 108 columns."""
    os.environ["COLUMNS"] = "108"
    from modeling_pm_vit.cli.main import main

    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
        main([command, "--help"])
    if not printed.getvalue():
        raise ValueError(f"pm-vit {command} --help printed nothing.")
    return printed.getvalue().strip()


def modules(name: str) -> list[str]:
    """The module of that name, or the modules of the package, itself first."""
    path = _path(name)
    if not path.is_dir():
        return [name]
    files = [file for file in path.rglob("*.py") if (file.parent / "__init__.py").is_file()]
    names = [".".join((name, *file.relative_to(path).with_suffix("").parts)) for file in files]
    found = [module.removesuffix(".__init__") for module in names if not module.endswith(".__main__")]
    return sorted(found, key=lambda module: (module.count("."), module))


def _path(name: str) -> Path:
    """Of a package or, without its suffix, of a module. `hub/` is shipped as `modeling_pm_vit.hub`."""
    parts = name.split(".")
    path = ROOT.joinpath(*(parts[1:] if name.startswith("modeling_pm_vit.hub") else parts))
    return path if path.is_dir() else path.with_suffix(".py")


def _documented(module: str) -> str:
    options = "show_root_heading: false\n      show_root_toc_entry: false"
    source = module.removeprefix("modeling_pm_vit.") if module.startswith("modeling_pm_vit.hub") else module
    title = module.removeprefix("modeling_pm_vit.")
    return f"## {title}\n\n`{module}`\n\n::: {source}\n    options:\n      {options}\n"


def _site_link(match: re.Match, repository: str) -> str:
    """A link of a file at the top of the repository as a link of the site, or to the repository's own page."""
    target, anchor = match["target"], match["anchor"] or ""
    if target in ROOT_PAGES:
        return f"]({ROOT_PAGES[target]}{anchor})"
    if target.startswith("docs/"):
        return f"]({target.removeprefix('docs/')}{anchor})"
    return f"]({repository}/blob/main/{target}{anchor})"
