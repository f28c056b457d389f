-- Unknown people: strangers of one job after the other who look like one person. A person lives as long as a track does
-- that belongs to it; the triggers below keep the counts right whoever removes or decides tracks.

create table people (
    id uuid primary key,
    number bigint generated always as identity unique,  -- "unknown 12"
    model_id text not null,                     -- embeddings of two models are never compared
    subject_id uuid references subjects on delete set null,  -- who it turned out to be
    tracks int not null,
    jobs int not null,
    first_seen_at timestamptz not null,         -- when the first of its jobs was made
    last_seen_at timestamptz not null,
    total vector not null,                      -- sum of the tracks' embeddings, weighted by quality
    embedding halfvec generated always as (l2_normalize(total)::halfvec) stored
);
create index people_by_model on people (model_id);
create index people_most_seen on people (jobs desc, tracks desc, id desc);
create index people_last_seen on people (last_seen_at desc, id desc);
create index people_by_subject on people (subject_id) where subject_id is not null;

alter table tracks add column person_id uuid references people on delete set null;
create index tracks_by_person on tracks (person_id) where person_id is not null;

-- Whoever changes people of a model holds this until the transaction ends. Taken after rows of jobs, before all others.
create function lock_people(of_models text[]) returns void language plpgsql as $$
declare
    model text;
begin
    for model in select distinct m from unnest(of_models) m order by m loop
        perform pg_advisory_xact_lock(hashtextextended('facepipe people ' || model, 0));
    end loop;
end $$;

-- Sum of some tracks' embeddings for `people.total`; a blurred face must not draw a person away from its sharp ones.
create function weighted_embedding(quality real, embedding halfvec) returns vector language sql immutable strict as $$
    select array_fill(greatest(quality, 0.05)::real, array[vector_dims(embedding)])::vector * embedding::vector
$$;

-- A person without tracks keeps its last embedding: a job that is decided anew finds the same people again.
create function recount_people(changed uuid[]) returns void language sql as $$
    update people p set tracks = n.tracks, jobs = n.jobs, total = coalesce(n.total, p.total),
        first_seen_at = coalesce(n.first_seen_at, p.first_seen_at),
        last_seen_at = coalesce(n.last_seen_at, p.last_seen_at)
    from (
        select q.id, count(t.track) as tracks, count(distinct t.job_id) as jobs, min(j.created_at) as first_seen_at,
            max(j.created_at) as last_seen_at, sum(weighted_embedding(t.quality, e.embedding)) as total
        from people q
        left join tracks t on t.person_id = q.id
        left join jobs j on j.id = t.job_id
        left join track_embeddings e on e.job_id = t.job_id and e.track = t.track and e.model_id = q.model_id
        where q.id = any(changed) group by q.id) n
    where p.id = n.id
$$;

create function people_lose_tracks() returns trigger language plpgsql as $$
declare
    changed uuid[];
begin
    if tg_op = 'DELETE' then
        select array_agg(distinct person_id) into changed from gone where person_id is not null;
    else
        select array_agg(distinct gone.person_id) into changed from gone
            left join kept on kept.job_id = gone.job_id and kept.track = gone.track
            where gone.person_id is not null and gone.person_id is distinct from kept.person_id;
    end if;
    if changed is not null then
        perform lock_people((select array_agg(model_id) from people where id = any(changed)));
        perform recount_people(changed);
    end if;
    return null;
end $$;
create trigger tracks_leave_people after delete on tracks
    referencing old table as gone for each statement execute function people_lose_tracks();
create trigger tracks_change_people after update on tracks
    referencing old table as gone new table as kept for each statement execute function people_lose_tracks();

create function known_people_are_no_strangers() returns trigger language plpgsql as $$
begin
    new.person_id := null;
    return new;
end $$;
create trigger tracks_of_subjects before insert or update on tracks for each row
    when (new.subject_id is not null and new.person_id is not null)
    execute function known_people_are_no_strangers();

create function forget_person() returns trigger language plpgsql as $$
begin
    delete from people where id = new.id and tracks = 0;
    return null;
end $$;
-- At the end of the transaction, because tracks of a job that is decided anew come back.
create constraint trigger people_without_tracks after update on people deferrable initially deferred
    for each row when (new.tracks = 0) execute function forget_person();
