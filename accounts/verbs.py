"""What happens to people and organizations, in the words of the audit log, which registers them (it stands above)."""

VERBS = {
    "accounts__organization__added": "added the organization",
    "accounts__organization__changed": "changed the organization",
    "accounts__calendar__added": "added the business calendar",
    "accounts__calendar__changed": "changed the business calendar",
    "accounts__organization__switched_off": "switched the organization off",
    "accounts__organization__switched_on": "switched the organization on",
    "accounts__person__added": "added the person",
    "accounts__person__changed": "changed the person",
    "accounts__user__added": "added the account",
    "accounts__user__changed": "changed the account",
    "accounts__user__password_changed": "set a new password for the account",
    "accounts__membership__added": "gave the membership",
    "accounts__membership__changed": "changed the membership",
    "accounts__team__added": "added the team",
    "accounts__team__changed": "changed the team",
    "accounts__proposal__made": "proposed the change",
    "accounts__proposal__in_force": "put the change in force that was proposed as",
    "accounts__proposal__discarded": "threw away the proposed change",
}
