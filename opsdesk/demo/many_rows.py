"""The statements that make very many rows; a number's hash stands for chance. Only the constants here go into them."""

_FIRST = (
    "Harbour,Ashdown,Briar,Calder,Denby,Elmet,Fenwick,Garrow,Hollin,Ivel,Jesmond,Kelso,Larch,Marlow,Nevern,Orchard,"
    "Pelham,Quarry,Rowan,Selby,Thirsk,Ulver,Vale,Wharfe,Yarrow,Arden,Brook,Cedar,Dunmore,Eskdale,Foxley,Grange,Heath,"
    "Inglewood,Juniper,Kestrel,Linden,Meadow,Norbury,Oakham"
)
_SECOND = "Gifts,Interiors,Trading,Stores,Supplies,Emporium,Lane,Bazaar,Crafts,Wholesale,Homeware,Stationers"
_FIRSTS, _SECONDS = 40, 12
_REASONS = "returned,discount,adjustment,postage,fee,samples"


def _chance(seed: int, below: int) -> str:
    """A number from 0 to below - 1 that depends on `n` alone. A percent sign is doubled for the database's driver."""
    return f"(hashint8extended(n, {seed}) & 2147483647) %% {below}"


# The customers with small numbers ask most often, as it is with customers.
_CUSTOMER = f"1 + floor(%(customers)s * power(({_chance(11, 1_000_000)}) / 1000000.0, 3))::bigint"
_NAME = f"""
    split_part('{_FIRST}', ',', 1 + (k %% {_FIRSTS})::int) || ' '
    || split_part('{_SECOND}', ',', 1 + ((k / {_FIRSTS}) %% {_SECONDS})::int)
    || CASE WHEN k >= {_FIRSTS * _SECONDS} THEN ' ' || k ELSE '' END
"""
# Two years, the newest last; the open ones are of the last days.
_AGE = "((%(total)s - n) / %(total)s::float8 * interval '730 days' + interval '5 minutes')"

CUSTOMERS = f"""
    INSERT INTO integrations_customer (organization_id, reference, name, country, since)
    SELECT %(organization)s, 'M' || k, {_NAME}, 'United Kingdom', now() - interval '900 days'
    FROM generate_series(1, %(customers)s) k
    ON CONFLICT DO NOTHING
"""  # noqa: S608 - constants of this module

CASES = f"""
    INSERT INTO workflows_case (organization_id, kind, key, state, party, party_name, amount_minor, currency, target,
        reason, requested_by, requested_at, data, problems, standing, opened_at, closed_at)
    SELECT %(organization)s, 'refund', %(prefix)s || lpad(n::text, 8, '0'),
        CASE WHEN open THEN 'open' WHEN {_chance(5, 12)} = 0 THEN 'rejected' ELSE 'done' END,
        'M' || k, {_NAME},
        100 + {_chance(2, 9_900)} + CASE WHEN open OR {_chance(3, 4)} = 0 THEN 10000 + {_chance(4, 40_000)} ELSE 0 END,
        CASE WHEN {_chance(6, 25)} = 0 THEN 'EUR' ELSE 'GBP' END,
        'pi_m' || n, split_part('{_REASONS}', ',', (1 + {_chance(7, 6)})::int),
        CASE WHEN {_chance(8, 3)} = 0 THEN 'phone' ELSE 'shop form' END, now() - {_AGE},
        jsonb_build_object('reference', %(prefix)s || lpad(n::text, 8, '0'), 'order', 'O' || n), '[]',
        CASE WHEN open THEN 'Waits for whoever takes it to decide.' ELSE 'Ended.' END, now() - {_AGE},
        CASE WHEN NOT open THEN now() - {_AGE} + ({_chance(9, 240)}) * interval '1 second' END
    FROM (
        SELECT n, n > %(closed_up_to)s AS open, {_CUSTOMER} AS k
        FROM generate_series(%(first)s::bigint, %(last)s::bigint) n
    ) numbered
    ORDER BY n
"""  # noqa: S608 - constants of this module

_THESE = """
    workflows_case c WHERE c.organization_id = %(organization)s
    AND c.key BETWEEN %(prefix)s || lpad(%(first)s::text, 8, '0') AND %(prefix)s || lpad(%(last)s::text, 8, '0')
"""

PAYMENTS = f"""
    INSERT INTO integrations_payment (organization_id, connection_id, reference, "order", customer, currency,
        captured_minor, reserved_minor, refunded_minor, overbooked, read_at)
    SELECT c.organization_id, %(connection)s, c.target, c.data ->> 'order', c.party, c.currency, c.amount_minor * 2, 0,
        CASE WHEN c.state = 'done' THEN c.amount_minor ELSE 0 END, false, c.opened_at
    FROM {_THESE}
    ON CONFLICT DO NOTHING
"""  # noqa: S608 - constants of this module

RUNS = f"""
    INSERT INTO workflows_run (organization_id, workflow_id, version_id, case_id, state, position, facts, priority,
        wake_at, waits_for, reason, waiting_since, attempt, lease_owner, epoch, lost_leases, skipped, in_turn,
        started_at, ended_at)
    SELECT c.organization_id, %(workflow)s, %(version)s, c.id,
        CASE WHEN c.state = 'open' THEN 'waiting' ELSE 'succeeded' END,
        CASE WHEN c.state = 'open' THEN 2 ELSE 4 END,
        CASE WHEN c.state = 'open' THEN jsonb_build_object(
            'payment.captured', jsonb_build_object('value', c.amount_minor * 2, 'source', 'gateway', 'at', c.opened_at),
            'payment.refunded', jsonb_build_object('value', 0, 'source', 'gateway', 'at', c.opened_at)
        ) ELSE '{{}}' END,
        50, NULL, CASE WHEN c.state = 'open' THEN 'review' ELSE '' END, c.standing,
        CASE WHEN c.state = 'open' THEN c.opened_at END, 0, '', 0, 0, '[]', false, c.opened_at, c.closed_at
    FROM {_THESE} ORDER BY c.id
"""  # noqa: S608 - constants of this module

# Two in five of the closed cases were decided by people.
CLOSED = f"""
    WITH decided AS (
        INSERT INTO workflows_decision (organization_id, case_id, run_id, tier, facts, trace, sentence, policy,
            content_hash, at)
        SELECT c.organization_id, c.id, r.id, 'full_review', '{{}}', '[]', 'Full review: one of very many.', '',
            encode(sha256(c.key::bytea), 'hex'), c.opened_at
        FROM workflows_run r, {_THESE} AND r.case_id = c.id AND c.state <> 'open' AND c.id %% 5 < 2
        RETURNING id, case_id, run_id, content_hash, at
    )
    INSERT INTO approvals_review (organization_id, case_id, run_id, decision_id, settings_id, terms, tier, state, stage,
        asks, assignee_id, assigned_at, content_hash, opened_at, due_at, decided_by_id, closed_at, blocked_reason)
    SELECT c.organization_id, c.id, d.run_id, d.id, %(settings)s, %(terms)s, 'full_review',
        CASE WHEN c.state = 'rejected' THEN 'rejected' ELSE 'approved' END, 0, %(asks)s,
        (%(people)s::bigint[])[1 + c.id %% 2], d.at, d.content_hash, d.at, d.at + interval '4 hours',
        (%(people)s::bigint[])[1 + c.id %% 2], c.closed_at, ''
    FROM decided d JOIN workflows_case c ON c.id = d.case_id
"""  # noqa: S608 - constants of this module

# One in twelve is late, one in fifty put off, three in five are somebody's.
OPEN_DECISIONS = """
    WITH hashed AS (
        SELECT * FROM unnest(%(runs)s::bigint[], %(hashes)s::text[]) AS h(run_id, content_hash)
    ), decided AS (
        INSERT INTO workflows_decision (organization_id, case_id, run_id, tier, facts, trace, sentence, policy,
            content_hash, at)
        SELECT r.organization_id, r.case_id, r.id, 'full_review', r.facts,
            '[{"source": "thresholds", "result": "hit", "words": "It is above £100.00", "tier": "full_review"}]',
            'Full review: it is above £100.00.', 'refund thresholds v1', h.content_hash, r.started_at
        FROM hashed h JOIN workflows_run r ON r.id = h.run_id
        RETURNING id, case_id, run_id, content_hash, at
    )
    INSERT INTO approvals_review (organization_id, case_id, run_id, decision_id, settings_id, terms, tier, state, stage,
        asks, assignee_id, assigned_at, content_hash, opened_at, due_at, blocked_reason, snoozed_until, snoozed_by_id)
    SELECT %(organization)s, d.case_id, d.run_id, d.id, %(settings)s, %(terms)s, 'full_review', 'open', 0, %(asks)s,
        CASE WHEN d.case_id %% 5 < 3 THEN (%(people)s::bigint[])[1 + d.case_id %% 2] END,
        CASE WHEN d.case_id %% 5 < 3 THEN d.at END, d.content_hash, d.at,
        now() + (hashint8extended(d.case_id, 1) & 2147483647) %% 432000 * interval '1 second'
            - CASE WHEN d.case_id %% 12 = 0 THEN interval '6 days' ELSE interval '0' END, '',
        CASE WHEN d.case_id %% 50 = 0 THEN now() + interval '1 day' END,
        CASE WHEN d.case_id %% 50 = 0 THEN (%(people)s::bigint[])[1] END
    FROM decided d
"""
