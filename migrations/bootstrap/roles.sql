-- Roles are shared by all databases of a server, so they are made only when
-- missing. Passwords are set by whoever runs the server (finobs dev does).
DO $$
DECLARE
    name text;
BEGIN
    -- Two databases may be set up at the same moment.
    PERFORM pg_advisory_xact_lock(hashtext('finobs.bootstrap'));
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'finobs_owner') THEN
        CREATE ROLE finobs_owner NOLOGIN;
    END IF;
    FOREACH name IN ARRAY ARRAY['finobs_api', 'finobs_worker', 'finobs_sequencer', 'finobs_migrate'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) THEN
            EXECUTE format('CREATE ROLE %I LOGIN NOINHERIT', name);
            -- A forgotten transaction must not hold locks or old snapshots for ever.
            EXECUTE format('ALTER ROLE %I SET idle_in_transaction_session_timeout = %L', name, '60s');
            EXECUTE format('ALTER ROLE %I SET lock_timeout = %L', name, '10s');
        END IF;
    END LOOP;
    ALTER ROLE finobs_api SET statement_timeout = '15s';
    ALTER ROLE finobs_migrate SET lock_timeout = '60s';
    IF NOT pg_has_role('finobs_migrate', 'finobs_owner', 'MEMBER') THEN
        GRANT finobs_owner TO finobs_migrate;
    END IF;
END
$$;

REVOKE ALL ON DATABASE {{database}} FROM PUBLIC;
REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT CONNECT ON DATABASE {{database}} TO finobs_api, finobs_worker, finobs_sequencer, finobs_migrate;
GRANT CREATE ON DATABASE {{database}} TO finobs_owner;
-- Files are loaded by way of temporary tables; nobody else makes any.
GRANT TEMPORARY ON DATABASE {{database}} TO finobs_worker;

-- A role that may only read could still fill the disk with large objects.
REVOKE EXECUTE ON FUNCTION lo_create(oid), lo_creat(integer), lo_from_bytea(oid, bytea), lo_import(text), lo_import(text, oid) FROM PUBLIC;

-- Holds the list of applied migrations, so it must be there before the first.
CREATE SCHEMA IF NOT EXISTS finobs AUTHORIZATION finobs_owner;
