"""What people do with lists, in the words of the audit log."""

from auditlog.verbs import register

register(
    opsdesk__view__saved="saved the view",
    opsdesk__view__changed="changed the view",
    opsdesk__view__moved="moved the view",
    opsdesk__view__deleted="deleted the view",
    opsdesk__look__chosen="chose the columns of",
    opsdesk__export__asked="asked for the export",
    opsdesk__export__finished="wrote the export",
    opsdesk__export__given_up="gave up the export",
    opsdesk__export__taken="took the file of the export",
    opsdesk__export__removed="removed the file of the export",
)
