-- Housekeeping is woken where there is something to send or room came free in a pool that it sends to, not for each of
-- the nine changes of a segment.

drop trigger steps_announced on steps;
create trigger steps_added after insert on steps
    for each statement execute function announce_steps();
create trigger steps_changed after update of state on steps
    for each row when (
        new.state not in ('sent', 'running')
        or (old.stage = 'decode' and new.stage <> 'decode')
    ) execute function announce_steps();
