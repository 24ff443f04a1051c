-- The reference of `bench ledger`: the barest functions that write the same rows, one call for one hold or settlement.
-- No verdicts, no retries, no check that a key was used before: a duplicate or an overdraft is just an error.
CREATE FUNCTION reference_hold(k text, d bytea, available bigint, held bigint, u numeric) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    e bigint;
BEGIN
    INSERT INTO entry (key, digest, kind, posted_at) VALUES (k, d, 'hold', now()) RETURNING id INTO e;
    INSERT INTO posting (entry_id, line, account_id, units) VALUES (e, 1, available, u), (e, 2, held, -u);
    UPDATE balance SET units = units - u WHERE account_id = available;
    UPDATE balance SET units = units + u WHERE account_id = held;
    INSERT INTO hold (key, held_id, units, state, placed_at) VALUES (k, held, u, 'PENDING', now());
END $$;

CREATE FUNCTION reference_settle(
    k text, d bytea, hold_key text, held bigint, flying bigint, revenue bigint, u numeric, fee numeric
) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    e bigint;
BEGIN
    INSERT INTO entry (key, digest, kind, posted_at) VALUES (k, d, 'settle', now()) RETURNING id INTO e;
    INSERT INTO posting (entry_id, line, account_id, units)
    VALUES (e, 1, held, u), (e, 2, flying, -(u - fee)), (e, 3, revenue, -fee);
    UPDATE balance SET units = units - u WHERE account_id = held;
    UPDATE balance SET units = units - (u - fee) WHERE account_id = flying;
    UPDATE balance SET units = units + fee WHERE account_id = revenue;
    UPDATE hold SET state = 'SETTLED', closed_by = k, closed_at = now() WHERE key = hold_key AND state = 'PENDING';
END $$;
