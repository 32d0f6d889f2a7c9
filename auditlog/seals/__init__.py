"""Seals over the audit log: closing entries, proving one, handing heads outside, finding what is broken."""

from auditlog.seals.proving import check_proof, proof

__all__ = ["check_proof", "proof"]
