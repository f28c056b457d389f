-- The first schema. One migration is one transaction; a landed file is never edited, a new one is added.
-- Ids are UUIDs made by the caller. Times are UTC. Boxes, landmarks and similarities follow common/types.py.

create extension if not exists vector;

create table galleries (
    id uuid primary key,
    name text not null unique check (name ~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$'),
    model_id text not null,                     -- embeddings of two models are never compared
    min_similarity real check (min_similarity between -1 and 1),  -- null: the model's calibrated value
    created_at timestamptz not null default now()
);

create table subjects (
    id uuid primary key,
    gallery_id uuid not null references galleries on delete cascade,
    name text not null check (length(name) between 1 and 200),
    external_id text check (length(external_id) between 1 and 200),
    metadata jsonb not null default '{}',
    created_at timestamptz not null default now(),
    unique (gallery_id, external_id)
);
create index subjects_by_gallery on subjects (gallery_id, id);

create table samples (
    id uuid primary key,
    subject_id uuid not null references subjects on delete cascade,
    det_score real not null,
    quality real not null,
    crop_key text not null,                     -- aligned crop in the blob store: a better model re-embeds from it
    created_at timestamptz not null default now()
);
create index samples_by_subject on samples (subject_id, id);

-- Narrow on purpose: searching reads this table alone, and changing a subject never rewrites an embedding.
create table sample_embeddings (
    sample_id uuid primary key references samples on delete cascade,
    gallery_id uuid not null,
    subject_id uuid not null,
    model_id text not null,
    embedding halfvec not null
);
create index sample_embeddings_by_gallery on sample_embeddings (gallery_id, model_id);

create table jobs (
    id uuid primary key,
    state text not null default 'queued'
        check (state in ('queued', 'running', 'succeeded', 'partial', 'failed', 'cancelled')),
    priority smallint not null check (priority between 0 and 9),
    gallery_id uuid references galleries on delete set null,
    options jsonb not null,                     -- common.contracts.Options plus the gallery's name, as resolved
    model_id text not null,
    blob_key text not null,
    media_url text,                             -- fetched by the plan step when set
    media_sha256 text,
    media jsonb,                                -- kind, width_px, height_px, fps, duration_s, …; set by the plan step
    error jsonb,
    frames_done bigint not null default 0,
    frames_total bigint,
    faces bigint not null default 0,
    owner text not null default '',             -- id of the API key that made it
    idempotency_key text,
    fingerprint text,                           -- hash of the request behind idempotency_key
    revision bigint not null default 0,         -- counts changes; the event id of Server-Sent Events
    created_at timestamptz not null default now(),
    started_at timestamptz,
    finished_at timestamptz,
    unique (owner, idempotency_key)
);
create index jobs_by_age on jobs (created_at desc, id desc);
create index jobs_open on jobs (priority, created_at) where state in ('queued', 'running');

-- A step is the unit of lease and retry, and at once the outbox: a pending row is a promise to send a message.
create table steps (
    job_id uuid not null references jobs on delete cascade,
    kind text not null check (kind in ('plan', 'segment', 'finish')),
    ordinal int not null,
    state text not null default 'pending'
        check (state in ('pending', 'sent', 'running', 'done', 'failed', 'quarantined', 'cancelled')),
    stage text,                                 -- where it is: decode, detect, embed or match
    attempt int not null default 0,             -- fences: a write of an older attempt changes nothing
    deaths int not null default 0,              -- attempts that ended because the worker died
    failures int not null default 0,            -- attempts that ended in a transient error
    worker text,
    waiting boolean not null default false,     -- leased by a decoder run that has not reached it: its death is not this step's
    lease_until timestamptz,
    not_before timestamptz not null default '-infinity',
    frame_indices bigint[],                     -- segments only: which frames, and when
    frame_times_ms bigint[],
    start_ms bigint,                            -- segments only: [start_ms, end_ms) of media time
    end_ms bigint,
    error jsonb,
    primary key (job_id, kind, ordinal)
);
create index steps_open on steps (state, lease_until) where state in ('pending', 'sent', 'running');

create table detections (
    job_id uuid not null references jobs on delete cascade,
    frame_index bigint not null,
    face int not null,
    ordinal int not null,                       -- the segment that found it
    media_time_ms bigint not null,
    box real[] not null,
    landmarks real[] not null,
    det_score real not null,
    tracklet int not null,
    primary key (job_id, frame_index, face)
);
create index detections_by_tracklet on detections (job_id, ordinal, tracklet);

-- Faces of one person over neighbouring frames of one segment; the finish step links them into tracks.
create table tracklets (
    job_id uuid not null references jobs on delete cascade,
    ordinal int not null,
    tracklet int not null,
    start_ms bigint not null,
    end_ms bigint not null,
    detections int not null,
    first_box real[] not null,
    last_box real[] not null,
    quality real not null,
    embedding real[] not null,                  -- unit length
    crop_embeddings real[] not null,            -- one unit vector after the other, one a crop
    crops bytea[] not null,                     -- aligned JPEGs, best first; emptied once the job is finished
    thumbnail bytea,
    track int,                                  -- set by the finish step
    primary key (job_id, ordinal, tracklet)
);

create table tracks (
    job_id uuid not null references jobs on delete cascade,
    track int not null,
    start_ms bigint not null,
    end_ms bigint not null,
    detections int not null,
    quality real not null,
    subject_id uuid references subjects on delete set null,
    stranger int,                               -- number of the unknown person within the job, from 1
    similarity real,                            -- to the subject, or to the closest one when unknown
    candidates jsonb not null,                  -- [{"subject_id", "similarity"}], best first
    crops int not null,                         -- how many aligned crops the blob store has for it
    primary key (job_id, track)
);
create index tracks_by_subject on tracks (subject_id) where subject_id is not null;

-- Narrow, like sample_embeddings: searched for faces ever seen.
create table track_embeddings (
    job_id uuid not null,
    track int not null,
    model_id text not null,
    embedding halfvec not null,
    primary key (job_id, track),
    foreign key (job_id, track) references tracks on delete cascade
);

create table appearances (
    job_id uuid not null references jobs on delete cascade,
    appearance int not null,
    subject_id uuid references subjects on delete set null,
    stranger int,
    start_ms bigint not null,
    end_ms bigint not null,
    best_similarity real,
    detections int not null,
    best_track int not null,                    -- whose thumbnail shows the appearance
    primary key (job_id, appearance)
);
create index appearances_by_subject on appearances (subject_id) where subject_id is not null;

create table api_keys (
    id text primary key,
    name text not null,
    secret_sha256 bytea not null,
    created_at timestamptz not null default now(),
    revoked_at timestamptz
);

-- Who is alive; written by every worker process with its heartbeat.
create table workers (
    name text primary key,
    stage text not null,
    threads int not null,
    device text not null,
    model_ids text[] not null default '{}',
    started_at timestamptz not null default now(),
    seen_at timestamptz not null default now()
);

create function bump_revision() returns trigger language plpgsql as $$
begin
    new.revision := old.revision + 1;
    perform pg_notify('facepipe_job', new.id::text);
    return new;
end $$;
create trigger jobs_revision before update on jobs for each row execute function bump_revision();

create function announce_steps() returns trigger language plpgsql as $$
begin
    perform pg_notify('facepipe_steps', '');
    return null;
end $$;
create trigger steps_announced after insert or update of state on steps
    for each statement execute function announce_steps();
