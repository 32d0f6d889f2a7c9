"""What happens outside, in the words of the audit log."""

from auditlog.verbs import register

register(
    integrations__action__planned="planned the action",
    integrations__action__sent="sent the action",
    integrations__action__succeeded="had the action accepted",
    integrations__action__unknown="lost the answer to the action",
    integrations__action__failed="had the action refused",
    integrations__action__verified="verified the action",
    integrations__action__mismatched="found that the outside differs from the action",
    integrations__payment__refunded_elsewhere="learned that the payment was refunded elsewhere",
    integrations__refund__failed_late="learned that the refund failed after all",
    integrations__notice__written="wrote notices for the run",
    integrations__action__found="found the action at the gateway after a restore",
    integrations__reconciliation__asked="asked for a reconciliation",
    integrations__reconciliation__done="reconciled the connection",
    integrations__reconciliation__failed="could not reconcile the connection",
    integrations__break__found="found a difference to the gateway",
    integrations__break__settled="settled the difference to the gateway",
    integrations__break__gone="found that the difference to the gateway is gone",
    integrations__notice__delivered="delivered the notice",
    integrations__notice__failed="could not deliver the notice",
    integrations__connection__added="added the connection",
    integrations__connection__changed="changed the connection",
    integrations__connection__paused="paused the connection",
    integrations__connection__resumed="resumed the connection",
    integrations__endpoint__added="added the endpoint",
    integrations__endpoint__changed="changed the endpoint",
)
