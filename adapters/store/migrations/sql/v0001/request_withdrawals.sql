-- The door: a batch of withdrawal requests, each with its own verdict and each written whole or not at all (idempotency
-- row, withdrawal, first timeline row, hold).
--
--   accepted         written now
--   replayed         the same key and body were answered before; nothing written
--   known            the same withdrawal was requested under another key; only the key is written
--   key_reused       the key was used for another body
--   in_progress      the key is being worked on by somebody else this very moment
--   ref_taken        client_ref names another withdrawal of this account
--   account_unknown, insufficient
--   quote_unknown, quote_mismatch, quote_used, quote_expired
--   again            somebody else wrote it between two looks: ask again
--
-- The ledger's arrays (hold_digests .. line_units) are those of post_entries, one entry per request.
CREATE FUNCTION request_withdrawals(
    ids text[], clients text[], client_refs text[], networks text[], assets text[], amounts numeric[], fees numeric[],
    recipients text[], requesters text[], quote_ids text[], principals text[], idempotency_keys text[], bodies text[],
    hold_keys text[], hold_digests bytea[], accounts bigint[], line_item int[], line_no smallint[], line_place int[],
    line_units numeric[],
    OUT verdicts text[], OUT found_ids text[], OUT stages text[]
) LANGUAGE plpgsql SET enable_seqscan = off AS $$
DECLARE
    n int := cardinality(ids);
    ours boolean[];
    fresh boolean[];
    posted text[];
BEGIN
    -- Tried, never waited for, so it cannot deadlock; held until this transaction ends.
    ours := ARRAY(SELECT pg_try_advisory_xact_lock(hashtextextended(u.principal || E'\n' || u.key, 0))
                  FROM unnest(principals, idempotency_keys) WITH ORDINALITY AS u (principal, key, i) ORDER BY u.i);

    SELECT array_agg(
               CASE
                   WHEN NOT ours[u.i] THEN 'in_progress'
                   WHEN k.body_sha256 = u.body THEN 'replayed'
                   WHEN k.key IS NOT NULL THEN 'key_reused'
                   WHEN (w.network, w.asset, w.amount, w.recipient) = (u.network, u.asset, u.amount, u.recipient)
                       THEN 'known'
                   WHEN w.id IS NOT NULL THEN 'ref_taken'
                   WHEN c.name IS NULL THEN 'account_unknown'
                   WHEN u.quote_id IS NULL THEN NULL
                   WHEN q.id IS NULL THEN 'quote_unknown'
                   WHEN (q.asset, q.amount, q.fee) <> (u.asset, u.amount, u.fee) THEN 'quote_mismatch'
                   WHEN EXISTS (SELECT FROM withdrawal other WHERE other.quote_id = q.id) THEN 'quote_used'
                   WHEN q.expires_at <= now() THEN 'quote_expired'
               END ORDER BY u.i),
           array_agg(coalesce(k.withdrawal_id, u.id) ORDER BY u.i),
           array_agg(coalesce(kw.stage, w.stage, 'REQUESTED') ORDER BY u.i)
    INTO verdicts, found_ids, stages
    FROM unnest(ids, clients, networks, assets, amounts, fees, recipients, quote_ids, principals, idempotency_keys, bodies)
        WITH ORDINALITY AS u (id, client, network, asset, amount, fee, recipient, quote_id, principal, key, body, i)
    LEFT JOIN idempotency k ON k.principal = u.principal AND k.key = u.key
    LEFT JOIN withdrawal kw ON kw.id = k.withdrawal_id
    LEFT JOIN withdrawal w ON w.id = u.id
    LEFT JOIN client c ON c.name = u.client
    LEFT JOIN quote q ON q.id = u.quote_id AND q.account = u.client;

    fresh := ARRAY(SELECT v IS NULL FROM unnest(verdicts) WITH ORDINALITY AS u (v, i) ORDER BY u.i);
    IF array_position(fresh, true) IS NOT NULL THEN
        SELECT p.verdicts INTO posted
        FROM post_entries(hold_keys, hold_digests, array_fill('hold'::text, ARRAY[n]), array_fill('PENDING'::text, ARRAY[n]),
                          hold_keys, accounts, line_item, line_no, line_place, line_units, now(), fresh) p;
        verdicts := ARRAY(SELECT CASE WHEN v IS NOT NULL THEN v
                                      WHEN p = 'posted' THEN 'accepted'
                                      WHEN p = 'insufficient' THEN p
                                      ELSE 'again' END
                          FROM unnest(verdicts, posted) WITH ORDINALITY AS u (v, p, i) ORDER BY u.i);
    END IF;

    INSERT INTO withdrawal (id, account, client_ref, network, asset, amount, fee, recipient, requester, quote_id,
                            created_at, stage, last_seq, updated_at)
    SELECT u.id, u.client, u.client_ref, u.network, u.asset, u.amount, u.fee, u.recipient, u.requester, u.quote_id,
           now(), 'REQUESTED', 1, now()
    FROM unnest(ids, clients, client_refs, networks, assets, amounts, fees, recipients, requesters, quote_ids, verdicts)
        AS u (id, client, client_ref, network, asset, amount, fee, recipient, requester, quote_id, verdict)
    WHERE u.verdict = 'accepted' ORDER BY u.id;
    INSERT INTO withdrawal_event (withdrawal_id, seq, stage, at, actor)
    SELECT u.id, 1, 'REQUESTED', now(), u.requester
    FROM unnest(ids, requesters, verdicts) AS u (id, requester, verdict)
    WHERE u.verdict = 'accepted';
    INSERT INTO idempotency (principal, key, body_sha256, withdrawal_id, at)
    SELECT u.principal, u.key, u.body, u.id, now()
    FROM unnest(ids, principals, idempotency_keys, bodies, verdicts) AS u (id, principal, key, body, verdict)
    WHERE u.verdict IN ('accepted', 'known');
END $$;
