-- What the pools and housekeeping have done since the beginning; every process adds what it counted with its heartbeat.
create table counters (
    name text not null,                         -- one of common.metric_names.COUNTERS
    stage text not null,
    value double precision not null,
    primary key (name, stage)
);
