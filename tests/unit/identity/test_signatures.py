"""Signatures, against the examples that Amazon's own documents work out."""

import base64

import pytest

from pileus.services.identity.app.signatures import SignedRequest, Unsigned, of_request, of_text

SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def test_version_2_of_the_general_reference():
    params = {
        "AWSAccessKeyId": "AKIAIOSFODNN7EXAMPLE",
        "Action": "DescribeJobFlows",
        "SignatureMethod": "HmacSHA256",
        "SignatureVersion": "2",
        "Timestamp": "2011-10-03T15:19:30",
        "Version": "2009-03-31",
    }
    host = "elasticmapreduce.amazonaws.com"
    request = SignedRequest("AKIAIOSFODNN7EXAMPLE", None, host, "GET", "/", params)
    assert of_request(request, SECRET, host) == "i91nKc4PWAt0JJIdXwz9HxZCJDdiy6cf/Mj6vPxyYIs="


def test_version_2_with_names_and_values_to_escape():
    """As python-keystoneclient's signer signs them."""
    params = {
        "Action": "Describe",
        "SignatureVersion": "2",
        "Timestamp": "2026-01-01T00:00:00Z",
        "Ünï": "a b/ü~",
        "a.b": "1",
    }
    request = SignedRequest("a", None, "h:80", "GET", "/x", params)
    assert of_request(request, SECRET, "h:80") == "wHC6vBrOaidpTIHxirV8sQgpPeAIXe/N4xUZ50bKVhg="


def version_4(**more):
    authorization = (
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, "
        "SignedHeaders=host;x-amz-date, Signature=unused"
    )
    headers = {"Host": "example.amazonaws.com", "X-Amz-Date": "20150830T123600Z", "Authorization": authorization}
    given = {"verb": "GET", "path": "/", "headers": headers, "body_hash": EMPTY, **more}
    return SignedRequest("AKIDEXAMPLE", host="example.amazonaws.com", **given)


@pytest.mark.parametrize(
    ("more", "signature"),
    [
        ({}, "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
        ({"verb": "POST"}, "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"),
        (
            {"params": {"Param2": "value2", "Param1": "value1"}},
            "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
        ),
    ],
)
def test_version_4_of_the_test_suite(more, signature):
    assert (
        of_request(version_4(**more), "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "example.amazonaws.com") == signature
    )


def test_s3_version_2_of_the_developer_guide():
    text = "GET\n\n\nTue, 27 Mar 2007 19:36:42 +0000\n/johnsmith/photos/puppy.jpg"
    token = base64.b64encode(text.encode()).decode()
    assert of_text(token, SECRET) == "bWq2s1WEIj+Ydj0vQ697zp+IXMU="


def test_s3_version_4_of_the_developer_guide():
    text = (
        "AWS4-HMAC-SHA256\n20130524T000000Z\n20130524/us-east-1/s3/aws4_request\n"
        "7344ae5b7ee6c3e7e6b0fe0640412a37625d1fbfff95c48bbb2dc43964946972"
    )
    token = base64.urlsafe_b64encode(text.encode()).decode()
    assert of_text(token, SECRET) == "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"


@pytest.mark.parametrize(
    "request_",
    [
        SignedRequest("a"),
        SignedRequest("a", params={"SignatureVersion": "3"}),
        SignedRequest("a", params={"SignatureVersion": "0", "Action": "x"}),
        version_4(headers={"Authorization": "AWS4-HMAC-SHA256"}),
        version_4(headers={"Authorization": "AWS4-HMAC-SHA256 Credential=a/b/c/d/e", "X-Amz-Date": "2015"}),
        version_4(headers={"Authorization": "AWS4-HMAC-SHA256 Credential=a/20150830/x", "X-Amz-Date": "20150830"}),
    ],
)
def test_what_cannot_have_been_signed_is_told_as_such(request_):
    with pytest.raises(Unsigned):
        of_request(request_, SECRET, "")


@pytest.mark.parametrize(
    "text",
    [
        b"AWS4-HMAC-SHA256\nonly\nthree",
        b"AWS4-OTHER\n1\n2/3/s3/aws4_request\n4",
        b"AWS4-HMAC-SHA256\n1\n20130524/us-east-1/ec2/aws4_request\n4",
        b"AWS4-HMAC-SHA256\n1\n20130524\n4",
        b"\xff\xfe",
    ],
)
def test_a_text_that_is_not_of_s3_is_told_as_such(text):
    with pytest.raises(Unsigned):
        of_text(base64.b64encode(text).decode(), SECRET)
    with pytest.raises(Unsigned):
        of_text("not base64!", SECRET)
