"""What happens in the engine, in the words of the audit log."""

from auditlog.verbs import register

register(
    workflows__case__opened="opened the case",
    workflows__case__corrected="corrected the case",
    workflows__case__withdrawn="withdrew the case",
    workflows__case__finished="finished the case",
    workflows__case__reopened="opened the case again",
    workflows__case__contradicted="received the case again with other content",
    workflows__run__started="started the run",
    workflows__run__gathered="gathered the facts",
    workflows__run__decided="decided how much consent is needed",
    workflows__run__waiting="let the run wait",
    workflows__run__failed="stopped the run",
    workflows__run__repaired="repaired the run",
    workflows__run__finished="finished the run",
    workflows__run__canceled="canceled the run",
    workflows__failure__opened="reported the failure",
    workflows__failure__reopened="reported the failure again",
    workflows__failure__acknowledged="took on the failure",
    workflows__failure__resolved="resolved the failure",
    workflows__alert__raised="raised the alert",
    workflows__alert__acknowledged="looks after the alert",
    workflows__alert__cleared="cleared the alert",
)
register(
    workflows__workflow__added="added the workflow",
    workflows__workflow__changed="changed the workflow",
    workflows__version__imported="imported the workflow version",
    workflows__version__drafted="began a draft of the workflow version",
    workflows__version__changed="changed the draft of the workflow version",
    workflows__version__discarded="threw away the draft of the workflow version",
    workflows__version__published="published the workflow version",
    workflows__version__retired="retired the workflow version",
    workflows__rule_set__imported="imported the rule set",
    workflows__rule_set__drafted="began a draft of the rule set",
    workflows__rule_set__changed="changed the draft of the rule set",
    workflows__rule_set__discarded="threw away the draft of the rule set",
    workflows__rule_set__published="published the rule set",
    workflows__rule_set__retired="retired the rule set",
)
