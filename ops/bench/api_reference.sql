-- The reference of `bench api`: the barest function that writes the same rows as one accepted request, in one call. No
-- look at the key, no verdict, no retry: a duplicate or an overdraft is just an error.
CREATE FUNCTION reference_request(
    id text, client text, ref text, network text, asset text, amount numeric, fee numeric, recipient text,
    requester text, key text, body text, d bytea, available bigint, held bigint
) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    e bigint;
    k text := 'withdrawal/' || id || '/hold';
    u numeric := amount + fee;
BEGIN
    INSERT INTO withdrawal (id, account, client_ref, network, asset, amount, fee, recipient, requester, created_at, stage,
                            last_seq, updated_at)
    VALUES (id, client, ref, network, asset, amount, fee, recipient, requester, now(), 'REQUESTED', 1, now());
    INSERT INTO withdrawal_event (withdrawal_id, seq, stage, at, actor) VALUES (id, 1, 'REQUESTED', now(), requester);
    INSERT INTO idempotency (principal, key, body_sha256, withdrawal_id, at) VALUES (requester, key, body, id, now());
    INSERT INTO entry (key, digest, kind, posted_at) VALUES (k, d, 'hold', now()) RETURNING entry.id INTO e;
    INSERT INTO posting (entry_id, line, account_id, units) VALUES (e, 1, available, u), (e, 2, held, -u);
    UPDATE balance SET units = units - u WHERE account_id = available;
    UPDATE balance SET units = units + u WHERE account_id = held;
    INSERT INTO hold (key, held_id, units, state, placed_at) VALUES (k, held, u, 'PENDING', now());
END $$;
