"""Rule sets: conditions over declared facts, read back in words."""

from django.contrib import admin
from django.utils.html import format_html_join
from django.utils.safestring import SafeString

from accounts.recorded import OwnInline
from workflows import facts, rules
from workflows.admin.editions import EditionAdmin
from workflows.admin.forms import RuleForm, RuleSetForm
from workflows.admin.formsets import OrderedFormSet
from workflows.admin.versions import JSON
from workflows.models import Rule, RuleSet
from workflows.publishing import RULE_SETS, new_draft_rules

# How a value of each type is written in a condition.
WRITTEN = {
    "money": '"50.00 GBP"',
    "count": "4",
    "days": "90",
    "ratio": '"0.5" for a half',
    "flag": "no value",
    "text": '"returned", or a list for one_of',
}


class RuleInline(OwnInline, admin.StackedInline):
    """The rules; their order is the order in which they are told, the strictest wins wherever it stands."""

    model = Rule
    form = RuleForm
    formset = OrderedFormSet
    formfield_overrides = JSON
    fields = [("position", "name"), "match", "conditions", "in_words", ("effect", "tier")]
    readonly_fields = ["in_words"]

    @admin.display(description="read back")
    def in_words(self, rule: Rule) -> str:
        """The saved rule as a sentence."""
        if rule._state.adding:
            return "Shown here once it is saved."
        return " ".join(rules.check(rule.conditions)) or rules.words(rule)


@admin.register(RuleSet)
class RuleSetAdmin(EditionAdmin):
    """The rules of a workflow, drafted and published together."""

    noun = "workflows.rule_set"
    children = ["rules"]
    editions = RULE_SETS
    copy = new_draft_rules
    form = RuleSetForm
    inlines = [RuleInline]
    readonly_fields = ["catalogue"]
    fieldsets = [
        (
            None,
            {
                "fields": ["workflow"],
                "description": "Every rule is asked about every case, and the strictest answer wins. A fact that is "
                "not known sends the case to people, whatever the rule asks for.",
            },
        ),
        (
            "Facts and operators for conditions",
            {
                "classes": ["collapse"],
                "fields": ["catalogue"],
                "description": 'A condition reads {"fact": "order.days_since", "operator": "above", "value": 90}.',
            },
        ),
    ]

    def describe(self, edition: RuleSet) -> list[str]:
        """One line a rule."""
        return [f"{rule.name}: {rules.words(rule)}" for rule in edition.rules.order_by("position")]

    @admin.display(description="catalogue")
    def catalogue(self, rule_set: RuleSet) -> SafeString:
        """Every fact with what it says, its operators and how a value is written."""
        rows = [
            (fact.name, fact.sentence, ", ".join(rules.OPERATORS[fact.type]), WRITTEN[fact.type])
            for fact in facts.catalogue().values()
        ]
        return format_html_join("", "<p><code>{}</code> {} <br>Operators: {}. Value: {}.</p>", rows)
