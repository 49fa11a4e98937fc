import pytest
import timm

from segmix_core.encoders import ENCODERS
from segmix_core.licenses import KNOWN, UNKNOWN, find_license, license_note
from segmix_core.models.timm_backbone import published_license

# As timm writes them.
TIMM = {"apache-2.0": "Apache 2.0", "dinov3-license": "DINOv3 License"}


@pytest.mark.parametrize("name", KNOWN)
def test_what_is_said_of_networks_of_timm_is_what_timm_says(name):
    assert KNOWN[name].name == TIMM[timm.get_pretrained_cfg(name).license]


@pytest.mark.parametrize("name", ENCODERS)
def test_every_encoder_has_a_license(name):
    terms = find_license(name)
    assert terms.name in {"CC BY-NC-ND 4.0", "Apache 2.0"}
    assert ("non-commercial" in terms.terms) == ("NC" in terms.name)


def test_a_note_names_weights_license_and_terms():
    name = "hf-hub:MahmoodLab/UNI"
    assert license_note(name, find_license(name)) == (
        "License of the published weights of MahmoodLab/UNI: CC BY-NC-ND 4.0 "
        "(non-commercial academic research only; access to the weights on request)."
    )
    assert license_note("small", find_license("small")) == ""
    assert "unknown (see the model card)." in license_note("regnety_004", UNKNOWN)


@pytest.mark.parametrize(
    ("name", "license"),
    [
        ("small", "None"),
        ("resnet18", "Apache 2.0"),
        ("regnety_004", "bsd-3-clause"),
        ("res2net50d", "unknown (see the model card)"),
        ("nonsense", "unknown (see the model card)"),
    ],
)
def test_other_networks_have_the_license_of_timms_records(name, license):
    assert str(published_license(name)) == license
