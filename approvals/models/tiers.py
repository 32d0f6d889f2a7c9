"""What the tiers of an organization mean: how fast, with whose votes, and with how much explanation."""

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q

from accounts.models import Organization, Team
from approvals.states import Verdict
from workflows.states import Tier


class TierSettings(models.Model):
    """What one tier means in one organization."""

    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="tiers")
    tier = models.CharField(max_length=12, choices=Tier)
    due_minutes = models.PositiveIntegerField(default=240, help_text="Business minutes until the review is late.")
    objection_minutes = models.PositiveIntegerField(
        default=30, help_text="Fast-track only: business minutes after the notice arrived."
    )
    undo_seconds = models.PositiveSmallIntegerField(
        default=10, help_text="How long a decision can be taken back before it takes effect."
    )
    bulk_most = models.PositiveSmallIntegerField(
        default=50, db_default=50, help_text="How many of this tier one bulk may decide; 0: each by itself."
    )
    text_needed = models.BooleanField(
        default=False, help_text="Whether a sentence is asked for beside the reason code."
    )
    text_minimum = models.PositiveSmallIntegerField(default=10, help_text="Characters, where a text is asked for.")
    second_look = models.BooleanField(
        default=False,
        db_default=False,
        help_text="Whether the person also says that they looked at the evidence a second time.",
    )
    second_opinion_percent = models.PositiveSmallIntegerField(
        default=0,
        db_default=0,
        help_text="How many of a hundred decided cases somebody else judges again, without knowing the verdict.",
    )

    class Meta:
        ordering = ["organization", "pk"]
        verbose_name = "tier"
        constraints = [
            models.UniqueConstraint(name="approvals_tiersettings_once", fields=["organization", "tier"]),
            models.CheckConstraint(name="approvals_tiersettings_known_tier", condition=Q(tier__in=Tier.values)),
            models.CheckConstraint(
                name="approvals_tiersettings_judges_a_share", condition=Q(second_opinion_percent__lte=100)
            ),
        ]

    def __str__(self) -> str:
        return self.get_tier_display()


class Stage(models.Model):
    """The votes of one team, or of several, within a tier; stages are asked in order."""

    tier = models.ForeignKey(TierSettings, on_delete=models.CASCADE, related_name="stages")
    position = models.PositiveSmallIntegerField(default=0)
    team = models.ForeignKey(Team, on_delete=models.PROTECT, related_name="+")
    more_teams = models.ManyToManyField(
        Team, blank=True, related_name="+", help_text="Further teams whose people may vote in this stage."
    )
    every_team = models.BooleanField(
        default=False,
        db_default=False,
        help_text="Whether each of the teams has to be heard, by a person of its own; otherwise any of them will do.",
    )
    votes = models.PositiveSmallIntegerField(default=1, help_text="Distinct people who must approve.")

    class Meta:
        ordering = ["tier", "position"]
        constraints = [
            models.UniqueConstraint(name="approvals_stage_position_once", fields=["tier", "position"]),
            models.CheckConstraint(name="approvals_stage_asks_somebody", condition=Q(votes__gte=1)),
        ]

    def __str__(self) -> str:
        teams = [str(self.team), *(str(team) for team in self.more_teams.all() if team.pk != self.team_id)]
        joint = " and " if self.every_team else " or "
        return f"{self.votes} of {joint.join(teams)}"


class Rung(models.Model):
    """One step of what happens to a review of a tier that nobody decides: the longer it waits, the higher it goes."""

    class What(models.TextChoices):
        REMIND = "remind", "remind whoever it is with"
        REASSIGN = "reassign", "give it to somebody else who may decide it"
        MANAGER = "manager", "tell the manager"
        MANAGERS_MANAGER = "managers_manager", "tell the manager's manager"

    tier = models.ForeignKey(TierSettings, on_delete=models.CASCADE, related_name="rungs")
    position = models.PositiveSmallIntegerField(default=0)
    after_minutes = models.PositiveIntegerField(help_text="Business minutes since the review was opened.")
    what = models.CharField(max_length=16, choices=What)

    class Meta:
        ordering = ["tier", "position"]
        constraints = [
            models.UniqueConstraint(name="approvals_rung_position_once", fields=["tier", "position"]),
            models.UniqueConstraint(name="approvals_rung_once_at_a_time", fields=["tier", "after_minutes", "what"]),
            models.CheckConstraint(
                name="approvals_rung_known_and_later",
                condition=Q(after_minutes__gte=1, what__in=["remind", "reassign", "manager", "managers_manager"]),
            ),
        ]

    def __str__(self) -> str:
        return f"after {self.after_minutes} min: {self.get_what_display()}"


class ReasonCode(models.Model):
    """A reason a reviewer can give; managed by admins."""

    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="reason_codes")
    kind = models.SlugField(
        max_length=30,
        blank=True,
        default="",
        db_default="",
        help_text="Kind of case it is for, such as refund; empty: every kind.",
    )
    verdict = models.CharField(max_length=8, choices=Verdict)
    code = models.SlugField(max_length=40)
    label = models.CharField(max_length=80)
    suggested_for = ArrayField(
        models.CharField(max_length=60),
        default=list,
        blank=True,
        help_text="Request reasons for which it is offered first.",
    )
    text_needed = models.BooleanField(default=False, help_text="Whether this reason asks for a sentence.")
    second_look = models.BooleanField(
        default=False,
        db_default=False,
        help_text="Whether this reason asks for a second look at the evidence.",
    )
    position = models.PositiveSmallIntegerField(default=0)
    enabled = models.BooleanField(default=True)

    class Meta:
        ordering = ["organization", "verdict", "position"]
        constraints = [
            models.UniqueConstraint(
                name="approvals_reasoncode_once", fields=["organization", "kind", "verdict", "code"]
            )
        ]

    def __str__(self) -> str:
        return self.label

    def fits(self, kind: str, verdict: str) -> bool:
        """Whether it can be given for a verdict on a case of this kind."""
        return self.enabled and self.verdict == verdict and self.kind in ("", kind)
