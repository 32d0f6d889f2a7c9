"""What breaks out of expression languages elsewhere is data here: refused as a name, compared as a text."""

import ast
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from opsdesk.settings import BASE_DIR
from workflows import facts, rules, texts
from workflows.triggers import filters

# Of Python, Jinja, Django, CEL, JavaScript, Spring, Velocity, FreeMarker, ERB and shells, as their scanners send them.
ESCAPES = r"""
__import__('os').system('id')
().__class__.__bases__[0].__subclasses__()
''.__class__.__mro__[1].__subclasses__()
{}.__class__.__base__.__subclasses__()
[].__class__.__base__.__subclasses__()[104].__init__.__globals__
(lambda: 1).__globals__['__builtins__']['eval']('1')
open('/etc/passwd').read()
eval(compile('1','','exec'))
exec('import os')
getattr(amount, '__class__')
amount.__class__.__init__.__globals__
vars()['__builtins__']
globals()
breakpoint()
(yield)
f"{amount.__class__}"
{0.__class__.__init__.__globals__}
{amount.__class__.__mro__[1]}
%(amount.__class__)s
{{7*7}}
{{ 7*'7' }}
{{config.items()}}
{{request.application.__globals__.__builtins__.__import__('os').popen('id').read()}}
{{''.__class__.__mro__[2].__subclasses__()[40]('/etc/passwd').read()}}
{{lipsum.__globals__['os'].popen('id').read()}}
{{cycler.__init__.__globals__.os.popen('id').read()}}
{{joiner.__init__.__globals__.os}}
{{namespace.__init__.__globals__.os}}
{{self._TemplateReference__context.cycler}}
{{ request|attr('__class__') }}
{{ settings.SECRET_KEY }}
{% debug %}
{% load log %}{% get_admin_log 10 as log %}
{% include '/etc/passwd' %}
{% extends request.GET.x %}
{% for x in ().__class__.__base__.__subclasses__() %}{% endfor %}
{% import 'os' as os %}
{% raw %}{{1}}{% endraw %}
{# comment #}
${7*7}
${T(java.lang.Runtime).getRuntime().exec('id')}
#{7*7}
*{7*7}
@{7*7}
~{7*7}
<%= 7*7 %>
<%= File.open('/etc/passwd').read %>
#set($x='')$x.class.forName('java.lang.Runtime')
<#assign ex="freemarker.template.utility.Execute"?new()>${ex("id")}
{php}echo `id`;{/php}
{{constructor.constructor('return process')().env}}
this.constructor.constructor('return process')()
Function('return this')()
require('child_process').execSync('id')
process.mainModule.require('fs')
import('fs')
`${process.env}`
amount.map(x, amount.map(y, amount.map(z, x*y*z)))
type(amount) == int ? true : false
has(request.auth) && request.auth.claims
$(id)
`id`
; DROP TABLE workflows_rule; --
' OR '1'='1
!!python/object/apply:os.system ['id']
file:///etc/passwd
""".strip().splitlines()
# What costs seconds or the whole memory where it is calculated.
DEAR = [
    "9**9**9", "10**3999999*10**3999999", "'a'*1000000000", "-" * 20_000 + "1", "[" * 2_000 + "]" * 2_000,
    "1" * 50_000, "1e999999999", "((((a+)+)+)+)+$" * 500, "{" * 2_000, "amount.map(x," * 200, "0x" + "f" * 10_000,
]  # fmt: skip
TEXT = "request.reason"


def fact_of_type(kind: str) -> str:
    return next(name for name, fact in facts.catalogue().items() if fact.type == kind)


def told(text: str) -> dict[str, object]:
    return {TEXT: {"value": text, "source": "test", "at": "2026-03-01T00:00:00+00:00"}}


def test_there_are_sixty_and_more():
    assert len(set(ESCAPES)) >= 60


@pytest.mark.parametrize("escape", ESCAPES + DEAR, ids=lambda text: text[:24])
def test_none_names_anything_and_none_is_calculated(escape: str):
    """Not as a fact, operator, number, field, or place in a message; as a text it is equal to itself alone."""
    for kind in facts.catalogue()[TEXT].type, "money", "count", "days", "ratio":
        name = fact_of_type(kind)
        assert rules.check([{"fact": escape, "operator": "equals", "value": 1}])
        assert rules.check([{"fact": f"{name}.{escape}", "operator": "equals", "value": 1}])
        assert rules.check([{"fact": name, "operator": escape, "value": 1}])
        if kind != "text":
            assert rules.check([{"fact": name, "operator": "above", "value": escape}])
    assert filters.check([{"field": "a", "type": "number", "operator": "above", "value": escape}])
    assert filters.check([{"field": "a", "type": escape, "operator": "equals", "value": 1}])
    if set(escape) & set("{}"):
        assert texts.check(f"Paid {escape} today.")
    assert texts.check(f"{{{escape}}}")

    same = [{"fact": TEXT, "operator": "equals", "value": escape}]
    if len(escape) <= rules.LONGEST_TEXT:
        assert rules.check(same) == []
        assert rules.hold(same, "all", told(escape)) is True
        assert rules.hold(same, "all", told("49")) is False
    else:
        assert rules.check(same) and rules.hold(same, "all", told(escape)) is None


def test_none_of_it_takes_long():
    """A safety net: calculated, any of these would take seconds to years."""
    begun = time.monotonic()

    for dear in DEAR:
        for operator in ("equals", "above", "matches", "one_of"):
            for name in map(fact_of_type, ("text", "money", "count", "ratio")):
                rules.check([{"fact": name, "operator": operator, "value": dear}])
        texts.check(dear)

    assert time.monotonic() - begun < 20


# Python's own ways to make code out of a text, and the template engine's.
COMPILERS = {"eval", "exec", "compile", "__import__", "from_string", "Template"}
# Where such a call is about no person's text, by file: what it is for.
KNOWN = {
    "opsdesk/erasure/erasing.py": "words that are escaped first",
}


def calls(text: str) -> Iterator[str]:
    """Calls that make code, a template or a pattern out of anything but a text that stands in the program."""
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, ast.Call):
            continue
        name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
        of_re = isinstance(node.func, ast.Attribute) and getattr(node.func.value, "id", "") == "re"
        fixed = bool(node.args) and isinstance(node.args[0], ast.Constant | ast.JoinedStr)
        if (name in COMPILERS or (of_re and name in ("match", "search", "sub", "fullmatch", "findall"))) and not fixed:
            yield f"{name} in line {node.lineno}"


def sources() -> Iterator[Path]:
    for room in ("accounts", "approvals", "auditlog", "integrations", "opsdesk", "workflows"):
        yield from (file for file in (Path(BASE_DIR) / room).rglob("*.py") if "migrations" not in file.parts)


def test_no_text_of_a_person_becomes_code_a_template_or_a_pattern_of_re():
    found = {str(file.relative_to(BASE_DIR)): list(calls(file.read_text())) for file in sources()}
    allowed = {*KNOWN, "workflows/patterns.py"}

    assert len(found) > 300
    assert {file: what for file, what in found.items() if what and file not in allowed} == {}


@pytest.mark.parametrize(
    "text", ["eval(x)", "re.compile(x)", "re.search(x, y)", "Template(x)", "engine.from_string(x)"]
)
def test_the_search_for_it_finds_each_kind(text: str):
    assert len(list(calls(text))) == 1
