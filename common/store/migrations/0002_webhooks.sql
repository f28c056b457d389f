-- The final document of a job is pushed to `webhook_url`. A row of `webhooks` is a promise made in the transaction that
-- ends the job, whichever that is; it is kept until the receiver has answered or the job is erased.

alter table jobs add column webhook_url text;

create table webhooks (
    id uuid primary key default gen_random_uuid(),  -- goes with every attempt, so that a receiver can drop doubles
    job_id uuid not null references jobs on delete cascade,
    url text not null,
    job jsonb not null,                         -- the job's row as it ended; what is posted is made of it
    state text not null default 'pending' check (state in ('pending', 'delivered', 'failed')),
    attempts int not null default 0,            -- ever made; fences: a late failure of an older attempt changes nothing
    next_at timestamptz not null default now(), -- of a pending row: not before; claiming it moves this on
    tried_since timestamptz,                    -- first attempt of the present series; a replay begins another one
    last_status int,                            -- HTTP status of the last answer
    last_error text,
    created_at timestamptz not null default now(),
    delivered_at timestamptz
);
create index webhooks_by_job on webhooks (job_id);
create index webhooks_by_age on webhooks (created_at desc, id desc);
create index webhooks_due on webhooks (next_at) where state = 'pending';

-- Made once, when the operator has set none.
create table webhook_secret (
    singleton boolean primary key default true check (singleton),
    secret text not null
);

create function promise_webhook() returns trigger language plpgsql as $$
begin
    insert into webhooks (job_id, url, job) values (new.id, new.webhook_url, to_jsonb(new));
    perform pg_notify('facepipe_webhooks', '');
    return null;
end $$;
create trigger jobs_webhook after update of state on jobs for each row
    when (new.webhook_url is not null and new.state is distinct from old.state
          and new.state in ('succeeded', 'partial', 'failed', 'cancelled'))
    execute function promise_webhook();
