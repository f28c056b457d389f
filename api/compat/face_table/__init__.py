"""The face table of predecessors 002 (face_recognition_v2) and 003 (smartav_api): samples by the client's own ids."""
