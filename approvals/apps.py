"""The app's place in the house."""

from django.apps import AppConfig


class ApprovalsConfig(AppConfig):
    name = "approvals"

    def ready(self) -> None:
        from accounts import veils
        from approvals import (
            askable,
            asking,
            awaiting,
            bulk_kinds,
            grants,
            noticing,
            recovering,
            reversals,
            running_limits,
            second_opinions,
            services,
            stalls,
            thresholds,
            verbs,  # noqa: F401 - registers the audit verbs
            watching,
        )
        from approvals.steps.approve import Approve
        from workflows import registry
        from workflows.states import WaitsFor

        registry.add_step_kind(Approve())
        registry.add_demand_source(thresholds.demands_of)
        registry.add_demand_source(running_limits.demands_of)
        registry.add_demand_source(reversals.demands_of)
        registry.add_grant_check(grants.why_void)
        registry.add_awaited(WaitsFor.REVIEW, awaiting.awaited)
        registry.add_tier_check(askable.why_nobody)
        veils.draw_veil(second_opinions.blind_cases)
        registry.add_withdrawal(services.void_open)
        registry.add_news(asking.ANSWER_EVENT, asking.take_news)
        bulk_kinds.register()
        watching.register()
        stalls.register()
        noticing.register()
        registry.add_recovery_ending(recovering.begin_windows_anew)
