-- +migrate Up

-- People sign in and out: the API records each, and each that was refused.
-- +migrate StatementBegin
CREATE OR REPLACE FUNCTION ledger.append_security_event(
    p_entry_id uuid, p_idem text, p_action text, p_reason text,
    p_actor_type text, p_actor_iss text, p_actor_sub text,
    p_route text, p_request_id text, p_trace_id text, p_count integer, p_first_at timestamptz
) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
DECLARE
    at     timestamptz := clock_timestamp();
    head   text;
    middle text;
    tail   text;
    leaf   bytea;
    kind   text := CASE p_action WHEN 'read_audit' THEN 'audit.read' WHEN 'signed_in' THEN 'security.signed_in'
                         WHEN 'signed_out' THEN 'security.signed_out' ELSE 'security.denied' END;
    idem   bytea := sha256(convert_to('finobs.security.v1' || chr(10) || p_idem, 'UTF8'));
    fate   text := CASE WHEN p_action IN ('read_audit', 'signed_in', 'signed_out') THEN 'done' ELSE 'denied' END;
BEGIN
    IF p_action NOT IN ('authenticate', 'authorize', 'dev_insecure', 'read_artefact', 'read_audit', 'sign_in', 'signed_in', 'signed_out') THEN
        RAISE EXCEPTION 'action % is not a security event', p_action USING ERRCODE = 'check_violation';
    END IF;
    IF p_count < 1 OR octet_length(concat(p_reason, p_actor_iss, p_actor_sub, p_route, p_request_id, p_trace_id)) > 4096 THEN
        RAISE EXCEPTION 'security event is out of bounds' USING ERRCODE = 'check_violation';
    END IF;
    -- Canonical JSON (RFC 8785), the bytes that ledger.Entry.Seal would write:
    -- sorted keys, no white space. to_json(text) escapes exactly what RFC 8785
    -- escapes.
    head := '{"action":' || to_json(p_action)::text
        || ',"actor":{"iss":' || to_json(p_actor_iss)::text || ',"kind":' || to_json(p_actor_type)::text
        || ',"sub":' || to_json(p_actor_sub)::text || '}'
        || ',"desk":""'
        || ',"details":{"count":' || to_json(p_count::text)::text
        || ',"first_at":' || to_json(to_char(p_first_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'))::text || '}';
    middle := ',"idem_key":"' || encode(idem, 'hex') || '","is_simulation":false,"outcome":' || to_json(fate)::text || ',"reason":' || to_json(p_reason)::text
        || ',"request_id":' || to_json(p_request_id)::text
        || ',"subject":{"id":' || to_json(p_route)::text || ',"kind":"route"}';
    tail := ',"trace_id":' || to_json(p_trace_id)::text
        || ',"type":' || to_json(kind)::text || ',"v":"1","workflow":{"first_run":"","id":"","namespace":""}}';
    leaf := convert_to(head || ',"id":' || to_json(p_entry_id::text)::text || middle
        || ',"time":' || to_json(to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'))::text || tail, 'UTF8');
    INSERT INTO ledger.entry (entry_id, idem_key, content_sha256, leaf, leaf_sha256, recorded_at,
        type, actor_type, actor_iss, actor_sub, subject_kind, subject_id, action, outcome, reason,
        desk, request_id, trace_id, workflow_id, is_simulation)
    VALUES (p_entry_id, idem, sha256(convert_to(head || middle || tail, 'UTF8')),
        leaf, sha256(leaf), at,
        kind, p_actor_type, p_actor_iss, p_actor_sub, 'route', p_route, p_action, fate, p_reason,
        '', p_request_id, p_trace_id, '', false)
    ON CONFLICT (idem_key) DO NOTHING;
END
$$;
-- +migrate StatementEnd

-- +migrate Down
-- +migrate StatementBegin
CREATE OR REPLACE FUNCTION ledger.append_security_event(
    p_entry_id uuid, p_idem text, p_action text, p_reason text,
    p_actor_type text, p_actor_iss text, p_actor_sub text,
    p_route text, p_request_id text, p_trace_id text, p_count integer, p_first_at timestamptz
) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
DECLARE
    at     timestamptz := clock_timestamp();
    head   text;
    middle text;
    tail   text;
    leaf   bytea;
    kind   text := CASE p_action WHEN 'read_audit' THEN 'audit.read' ELSE 'security.denied' END;
    idem   bytea := sha256(convert_to('finobs.security.v1' || chr(10) || p_idem, 'UTF8'));
    fate   text := CASE p_action WHEN 'read_audit' THEN 'done' ELSE 'denied' END;
BEGIN
    IF p_action NOT IN ('authenticate', 'authorize', 'dev_insecure', 'read_artefact', 'read_audit') THEN
        RAISE EXCEPTION 'action % is not a security event', p_action USING ERRCODE = 'check_violation';
    END IF;
    IF p_count < 1 OR octet_length(concat(p_reason, p_actor_iss, p_actor_sub, p_route, p_request_id, p_trace_id)) > 4096 THEN
        RAISE EXCEPTION 'security event is out of bounds' USING ERRCODE = 'check_violation';
    END IF;
    -- Canonical JSON (RFC 8785), the bytes that ledger.Entry.Seal would write:
    -- sorted keys, no white space. to_json(text) escapes exactly what RFC 8785
    -- escapes.
    head := '{"action":' || to_json(p_action)::text
        || ',"actor":{"iss":' || to_json(p_actor_iss)::text || ',"kind":' || to_json(p_actor_type)::text
        || ',"sub":' || to_json(p_actor_sub)::text || '}'
        || ',"desk":""'
        || ',"details":{"count":' || to_json(p_count::text)::text
        || ',"first_at":' || to_json(to_char(p_first_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'))::text || '}';
    middle := ',"idem_key":"' || encode(idem, 'hex') || '","is_simulation":false,"outcome":' || to_json(fate)::text || ',"reason":' || to_json(p_reason)::text
        || ',"request_id":' || to_json(p_request_id)::text
        || ',"subject":{"id":' || to_json(p_route)::text || ',"kind":"route"}';
    tail := ',"trace_id":' || to_json(p_trace_id)::text
        || ',"type":' || to_json(kind)::text || ',"v":"1","workflow":{"first_run":"","id":"","namespace":""}}';
    leaf := convert_to(head || ',"id":' || to_json(p_entry_id::text)::text || middle
        || ',"time":' || to_json(to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'))::text || tail, 'UTF8');
    INSERT INTO ledger.entry (entry_id, idem_key, content_sha256, leaf, leaf_sha256, recorded_at,
        type, actor_type, actor_iss, actor_sub, subject_kind, subject_id, action, outcome, reason,
        desk, request_id, trace_id, workflow_id, is_simulation)
    VALUES (p_entry_id, idem, sha256(convert_to(head || middle || tail, 'UTF8')),
        leaf, sha256(leaf), at,
        kind, p_actor_type, p_actor_iss, p_actor_sub, 'route', p_route, p_action, fate, p_reason,
        '', p_request_id, p_trace_id, '', false)
    ON CONFLICT (idem_key) DO NOTHING;
END
$$;
-- +migrate StatementEnd
