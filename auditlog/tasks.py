"""The doors of the audit log for Celery."""

from celery import shared_task

from auditlog.retention import removing
from auditlog.seals import handing, looking, sealing


@shared_task(name="auditlog.seal")
def seal() -> int:
    """Close the entries whose transactions are over."""
    return sealing.seal()


@shared_task(name="auditlog.hand_out")
def hand_out() -> int:
    """Hand the newest head outside, to whoever has not had one for the agreed time."""
    return len(handing.hand_out())


@shared_task(name="auditlog.verify")
def verify() -> bool:
    """Look whether the log is whole, once a day, some seconds at a time."""
    return looking.go_on()


@shared_task(name="auditlog.retain")
def retain() -> int:
    """Remove some of what is older than a policy lets it be kept, and held by nobody."""
    return removing.remove_due()
