-- Three schemas: finobs holds state, ledger holds the append-only record, api
-- holds the views and the functions that are all the API process ever sees.

-- +migrate Up
CREATE SCHEMA ledger;
CREATE SCHEMA api;

GRANT USAGE ON SCHEMA finobs TO finobs_worker;
GRANT USAGE ON SCHEMA ledger TO finobs_worker, finobs_sequencer;
GRANT USAGE ON SCHEMA api TO finobs_api;

-- What kind of deployment this database serves. finobs dev marks its own
-- database dev; --dev-insecure refuses to run on any other.
CREATE TABLE finobs.deployment (
    only_row    boolean PRIMARY KEY DEFAULT true CONSTRAINT deployment_is_one_row CHECK (only_row),
    environment text NOT NULL DEFAULT 'production'
        CONSTRAINT deployment_environment_is_known CHECK (environment IN ('dev', 'production'))
);
INSERT INTO finobs.deployment (environment) VALUES ('production');

CREATE VIEW api.deployment AS SELECT environment FROM finobs.deployment;
GRANT SELECT ON api.deployment TO finobs_api;

-- +migrate Down
DROP VIEW api.deployment;
DROP TABLE finobs.deployment;
DROP SCHEMA api;
DROP SCHEMA ledger;
