"""A stage as it is asked: which teams, how many different people, and whether each team has to be heard."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property

from accounts.models import Team

# The teams of the stage to which one voter belongs, by their keys.
Belongs = Collection[int]


@dataclass(frozen=True)
class AskedStage:
    """One stage of a review: people of any of the teams, or at least one person of its own from every team."""

    teams: tuple[Team, ...]
    votes: int
    every_team: bool = False

    def __str__(self) -> str:
        return self.names

    @cached_property
    def names(self) -> str:
        """The teams in a sentence."""
        listed = [str(team) for team in self.teams]
        joint = " and " if self.every_team else " or "
        return joint.join(filter(None, [", ".join(listed[:-1]), *listed[-1:]])) or "nobody"

    @cached_property
    def team_ids(self) -> frozenset[int]:
        return frozenset(team.pk for team in self.teams)

    @property
    def needed(self) -> int:
        """How many different people have to approve."""
        return max(self.votes, len(self.team_ids)) if self.every_team else self.votes

    def is_passed(self, voters: Sequence[Belongs]) -> bool:
        """Whether these votes are enough."""
        heard = not self.every_team or _heard(voters, self.team_ids) == len(self.team_ids)
        return len(voters) >= self.needed and heard

    def wanted(self, voters: Sequence[Belongs]) -> frozenset[int]:
        """The teams from which one more vote still brings the stage forward."""
        if not self.every_team:
            return self.team_ids
        heard = _heard(voters, self.team_ids)
        to_spare = self.needed - len(voters) - (len(self.team_ids) - heard)
        if to_spare > 0:
            return self.team_ids
        return frozenset(team for team in self.team_ids if _heard([*voters, {team}], self.team_ids) > heard)


def _heard(voters: Sequence[Belongs], teams: Collection[int]) -> int:
    """The most teams that can have a voter of their own: a greatest matching, by augmenting paths."""
    speaker: dict[int, int] = {}  # team → place of its voter

    def find_room(place: int, tried: set[int]) -> bool:
        for team in voters[place]:
            if team not in teams or team in tried:
                continue
            tried.add(team)
            if team not in speaker or find_room(speaker[team], tried):
                speaker[team] = place
                return True
        return False

    return sum(find_room(place, set()) for place in range(len(voters)))
