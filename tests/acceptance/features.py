"""What users of the older projects count on, and the tests that prove it, row by row.

The rows are those of the projects' feature table. `tests/house/test_feature_table.py` fails where a row has no proof,
or a test that is named here is gone.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

A000 = "acceptance/test_compat_000.py::"
A001 = "acceptance/test_compat_001.py::"
A002 = "acceptance/test_compat_002.py::"
A003 = "acceptance/test_compat_003.py::"
PICTURES = "acceptance/test_compat_003_pictures.py::"
A004 = "acceptance/test_compat_004.py::"
LIVE = "acceptance/test_live.py::"
COMPOSE = "acceptance/test_compose.py::"
U000 = "unit/compat/test_frames_and_faces.py::"
EXTRACT = "unit/decode/test_extract.py::"
GNOSIS = "unit/compat/test_gnosis.py::"
PROGRAMS = "unit/gnosis/test_programs.py::"
SERVE = "unit/gnosis/test_serve.py::"
TABLE = "unit/compat/test_face_table.py::"
SMARTAV = "unit/compat/test_smartav_pictures.py::"
U004 = "unit/compat/test_004_service.py::"
KUBERNETES = "unit/compat/test_004_kubernetes.py::"
MOUNT = "unit/compat/test_mount.py::"
PICKLED = "unit/compat/test_jsonpickled.py::"
DATA_URL = "unit/compat/test_data_url.py::"


@dataclass(frozen=True, slots=True)
class Feature:
    """A row of the table.

    Attributes:
        project: number of the older project, or `all`.
        name: what a user can do.
        proofs: tests below `tests/`, as pytest names them.
    """

    project: str
    name: str
    proofs: tuple[str, ...]


_ROWS: Final[Mapping[str, Mapping[str, tuple[str, ...]]]] = {
    "000": {
        "extract frames, multipart": (
            A000 + "TestTae::test_ten_frames_a_second_as_pillow_images",
            A000 + "test_recorded_requests_of_old_and_new_clients_are_answered",
        ),
        "extract frames, jsonpickle JSON": (
            A000 + "TestTae::test_one_frame_a_second_as_files_and_the_face_in_each",
            A000 + "test_recorded_requests_of_old_and_new_clients_are_answered",
        ),
        "frames as PIL objects / as JPEG bytes": (
            U000 + "TestFrames::test_the_first_route_gives_pillow_images",
            U000 + "TestFrames::test_json_to_the_root_gives_jpeg_files",
        ),
        "fps_max down-sampling, half-to-even": (
            A000 + "TestTae::test_a_rate_between_rounds_to_even",
            EXTRACT + "test_one_of_so_many_frames_is_taken_halves_to_even",
        ),
        "width_max/height_max thumbnail": (EXTRACT + "test_frames_are_made_smaller_to_whole_pixels",),
        "metadata block": (
            A000 + "TestTae::test_ten_frames_a_second_as_pillow_images",
            A000 + "TestTae::test_one_frame_a_second_as_files_and_the_face_in_each",
        ),
        "face analysis, PIL object upload": (A000 + "test_a_portrait_in_every_form_gives_the_same_face",),
        "face analysis, image bytes": (
            A000 + "test_a_portrait_in_every_form_gives_the_same_face",
            A000 + "TestTae::test_one_frame_a_second_as_files_and_the_face_in_each",
        ),
        "age, gender, bbox, score, 5 landmarks, 512-d unit vector": (
            A000 + "test_a_portrait_in_every_form_gives_the_same_face",
            U000 + "test_a_face_has_the_original_keys_and_types",
        ),
        "no face / not RGB": (A000 + "test_grey_pictures_are_converted_and_empty_ones_have_no_faces",),
        "CPU or GPU start, docker images": (
            COMPOSE + "test_every_service_starts_by_its_command_and_becomes_healthy",
            COMPOSE + "test_older_projects_are_served_on_their_own_ports_where_asked_for",
            COMPOSE + "test_gpu_pools_are_pinned_to_a_device",
        ),
        "safe decoding": (
            A000 + "test_hostile_bodies_are_refused_without_effect",
            U000 + "test_hostile_shapes_have_no_effect",
            PICKLED + "test_nothing_else_is_decoded",
        ),
    },
    "001": {
        "encode one image": (
            A001 + "TestEncode::test_one_image",
            A001 + "TestEncode::test_an_image_without_a_face_and_no_image_give_null",
        ),
        "encode several for a key": (A001 + "TestEncode::test_several_images_under_a_key_skip_those_without_a_face",),
        "detect": (A001 + "TestDetect::test_labels_count_and_boxes_have_five_numbers",),
        "recognise against uploaded dataset": (
            A001 + "TestRecognise::test_a_known_person_has_a_name_and_strangers_are_uknown",
        ),
        "annotated picture": (
            A001 + "TestDetect::test_the_annotated_picture_is_a_jpeg_of_the_input_size",
            A001 + "TestRecognise::test_the_label_is_drawn",
        ),
        "live detection / recognition stream": (
            LIVE + "test_live_detection_stream_comes_back_annotated",
            LIVE + "test_live_recognition_stream_names_by_the_data_set_that_came_along",
        ),
        "vote rule, 0.3 strict": (
            A001 + "TestRecognise::test_the_vote_and_its_strict_bound",
            GNOSIS + "TestVote::test_most_votes_win",
        ),
        "CLI detection / recognition": (
            A001 + "TestPrograms::test_detection",
            A001 + "TestPrograms::test_encoder_then_recognition",
        ),
        "CLI show, video, devices": (
            PROGRAMS + "TestFlags::test_the_processor_takes_every_flag_of_the_original",
            PROGRAMS + "TestFlags::test_a_wrong_device_is_told",
            PROGRAMS + "test_a_video_is_looked_at_frame_by_frame_without_a_display",
        ),
        "CLI encode JSON list": (A001 + "TestPrograms::test_encoder_then_recognition",),
        "CLI encode folder": (
            A001 + "TestPrograms::test_encoder_then_recognition",
            PROGRAMS + "TestEncoderInput::test_every_way_to_name_a_folder_means_the_same",
        ),
        "print markers": (A001 + "TestPrograms::test_encoder_then_recognition",),
        "webcam capture (later)": (PROGRAMS + "TestCapture::test_keys_save_name_lighten_and_quit",),
        ".env config, SSL, docs page": (
            SERVE + "TestEnvFile::test_the_template_starts_on_loopback",
            SERVE + "TestTls::test_the_routes_answer_by_https_where_a_certificate_is_set",
            A001 + "test_both_ports_and_the_pages",
        ),
        "docker / compose": (COMPOSE + "test_older_projects_are_served_on_their_own_ports_where_asked_for",),
    },
    "002": {
        "banner": (TABLE + "test_banners", TABLE + "test_a_get_on_a_post_route_says_that_it_runs"),
        "configure database": (
            A002 + "test_config_database_changes_nothing",
            TABLE + "test_config_database_names_the_first_missing_field",
        ),
        "init database CLI": (
            TABLE + "TestInitDb::test_it_makes_the_table",
            TABLE + "TestInitDb::test_a_missing_flag_is_named",
            TABLE + "TestInitDb::test_a_database_that_is_away",
        ),
        "clear samples": (A002 + "test_clearing_leaves_nobody_and_numbers_start_again",),
        "add samples": (
            A002 + "test_twenty_five_portraits_in_one_request_and_ten_recognitions",
            A002 + "test_a_second_sample_of_an_id_replaces_the_first",
            A002 + "test_ids_are_stored_literally",
        ),
        "recognise": (A002 + "test_twenty_five_portraits_in_one_request_and_ten_recognitions",),
        "min_distance = min cosine": (
            A002 + "test_min_distance_is_a_least_cosine_exclusive",
            TABLE + "test_a_sample_matches_when_it_is_more_similar_than_min_distance",
            TABLE + "test_a_min_distance_that_is_no_number_on_the_wire",
        ),
        "unknown registration (later)": (A002 + "test_strangers_are_registered_and_known_the_next_time",),
        "error bodies": (
            A002 + "test_nobody_in_a_picture",
            A002 + "test_nothing_but_data_urls_is_read",
            A002 + "test_a_picture_that_is_none",
            TABLE + "test_recognition_needs_an_object_with_an_image",
        ),
    },
    "003": {
        "face routes under prefix": (A003 + "test_the_steps_of_the_original_test_program",),
        "several vectors per id": (A003 + "test_samples_of_an_id_join_each_other",),
        "update metadata": (
            A003 + "test_name_and_metadata_of_an_unknown_person_are_changed",
            A003 + "test_metadata_is_refused_with_three_texts",
        ),
        "distinct unknown ids": (A003 + "test_three_strangers_get_three_numbers_also_at_once",),
        "image captioning": (
            PICTURES + "test_captions_of_an_object_and_of_an_array_of_one",
            PICTURES + "test_an_odd_caption_has_no_question_and_never_fails",
        ),
        "captioning availability": (PICTURES + "test_captioning_is_available",),
        "init segmentation engine": (
            PICTURES + "test_the_segmentation_engine_is_initialised_by_name",
            SMARTAV + "test_engines_are_names_and_never_paths",
        ),
        "detect objects": (PICTURES + "test_objects_are_sorted_bounded_and_have_a_true_width_and_height",),
        "mask picture": (PICTURES + "test_the_mask_picture_has_the_size_of_the_input_and_decodes_to_the_class",),
        "defaults and tolerant parsing": (
            PICTURES + "test_values_that_do_not_convert_are_replaced_by_the_defaults",
            SMARTAV + "test_numbers_that_do_not_convert_are_the_defaults",
        ),
        "nothing detected": (PICTURES + "test_nothing_detected_is_an_empty_list_and_a_black_picture",),
        "Go client data URL with a space": (
            A003 + "test_a_space_after_the_comma_as_the_go_client_sends_it",
            PICTURES + "test_the_go_client_sends_a_space_after_the_comma",
        ),
        "init_db creates, keeps data": (TABLE + "TestInitDb::test_rows_survive",),
    },
    "004": {
        "liveness": (A004 + "test_liveness", U004 + "test_it_says_success_once_faces_can_be_recognised"),
        "register face": (
            A004 + "test_register_and_detect_as_the_webcam_client_does",
            A004 + "test_files_dropped_into_the_folder_are_recognised_and_registrations_outlive_a_restart",
            U004 + "test_a_registered_photograph_is_a_sample_of_the_person",
        ),
        "detect face": (
            A004 + "test_register_and_detect_as_the_webcam_client_does",
            A004 + "test_any_size_is_taken_and_the_distance_is_that_of_the_embeddings",
        ),
        "suffix stripping, several photos per person": (
            A004 + "test_several_photos_per_person_and_the_suffix_is_stripped",
            U004 + "test_the_number_at_the_end_alone_is_stripped",
        ),
        "drop files into db folder": (
            A004 + "test_files_dropped_into_the_folder_are_recognised_and_registrations_outlive_a_restart",
        ),
        "threshold 0.7 L2": (
            A004 + "test_threshold_a_stranger_is_nobody_and_status_200",
            U004 + "test_the_nearest_is_named_from_the_calibrated_similarity_on",
        ),
        "webcam client": (
            A004 + "test_register_and_detect_as_the_webcam_client_does",
            U004 + "test_double_slashes_are_no_redirect",
        ),
        "docker, minikube, GKE": (
            A004 + "test_the_program_of_the_pod_serves_the_probe_and_the_client",
            KUBERNETES + "test_names_and_labels_are_those_that_scripts_know",
            KUBERNETES + "test_the_ports_are_the_original_ones_and_served",
            KUBERNETES + "test_kubectl_knows_every_field",
        ),
    },
    "all": {
        "size, pixel, time limits; no pickle, no shell, no SQL text, no file/URL reads": (
            A000 + "test_hostile_bodies_are_refused_without_effect",
            U000 + "test_refusals_are_json_that_no_client_takes_for_success",
            PICKLED + "test_nothing_else_is_decoded",
            PICKLED + "test_a_body_that_would_become_many_values_is_not_parsed",
            A001 + "test_paths_and_addresses_are_opened_by_no_part",
            A002 + "test_config_database_changes_nothing",
            A002 + "test_ids_are_stored_literally",
            A002 + "test_nothing_but_data_urls_is_read",
            TABLE + "test_a_body_beyond_the_limit",
            PICTURES + "test_what_is_no_picture_is_refused_and_never_opened",
            PICTURES + "test_the_segmentation_engine_is_initialised_by_name",
            DATA_URL + "test_anything_else_is_refused",
            A004 + "test_security_probes_have_no_effect",
            U004 + "test_names_that_look_like_paths_are_refused_without_effect",
        ),
    },
}

FEATURES: Final = tuple(
    Feature(project, name, proofs) for project, rows in _ROWS.items() for name, proofs in rows.items()
)
