-- Guesses at age and gender, made only for jobs that asked for them; null otherwise.

alter table tracklets
    add column age real,                        -- years, the mean over the crops
    add column female_score real;               -- in [0, 1], above one half where the guess is female
alter table tracks
    add column age real,                        -- weighted by the crops of each tracklet
    add column female_score real;
alter table appearances
    add column age real,                        -- weighted by the detections of each track
    add column female_score real;
