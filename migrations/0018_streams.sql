-- Streams: what is sent of an entry to those who listen, with the desk that decides
-- who they are.
-- Locking: an index on finobs.approval_request, which takes no writes meanwhile.

-- +migrate Up
-- The desk is that of the subject, as whoever may read the one may hear of it; some
-- entries carry none. A window of maintenance over all desks belongs to none.
CREATE VIEW api.stream_entry AS
SELECT l.leaf_index, coalesce(e.type, '') AS type, coalesce(e.recorded_at, l.sequenced_at) AS recorded_at,
       coalesce(e.subject_kind, '') AS subject_kind, coalesce(e.subject_id, '') AS subject_id,
       coalesce(e.actor_type, '') AS actor_type, coalesce(e.actor_sub, '') AS actor_sub, coalesce(e.is_simulation, false) AS is_simulation,
       coalesce(CASE WHEN e.subject_id ~ '^[0-9]{1,18}$' THEN
           CASE e.subject_kind
               WHEN 'approval' THEN (SELECT desk FROM finobs.approval_request WHERE approval_id = e.subject_id::bigint)
               WHEN 'incident' THEN (SELECT desk FROM finobs.incident WHERE incident_id = e.subject_id::bigint)
               WHEN 'maintenance_window' THEN (SELECT nullif(desk, '*') FROM finobs.maintenance_window WHERE window_id = e.subject_id::bigint)
           END
       END, e.desk, '') AS desk
FROM ledger.leaf l LEFT JOIN ledger.entry e USING (entry_id);
GRANT SELECT ON api.stream_entry TO finobs_api;

-- Who sees one desk alone lists its requests and those of none.
CREATE INDEX approval_request_by_desk ON finobs.approval_request (desk, approval_id DESC);

-- +migrate Down
DROP INDEX finobs.approval_request_by_desk;
DROP VIEW api.stream_entry;
