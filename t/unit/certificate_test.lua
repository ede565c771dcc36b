local certificate = require "gateway.certificate"
local cjson = require "cjson"
local luaunit = require "luaunit"

local equals = luaunit.assertEquals

local FOLDER = os.getenv("UNIT_FILE"):match("^(.*)/") .. "/../certs/"

local function read(name)
    local file = assert(io.open(FOLDER .. name))
    local text = file:read("*a")
    file:close()
    return text
end

local function parse(cert, key)
    return certificate.parse(cjson.encode({ cert = cert, key = key }))
end

local function check_error(cert, key, expected)
    equals({ parse(cert, key) }, { nil, expected })
end


local TestParse = {}

function TestParse.test_pairs_of_both_kinds()
    for _, name in ipairs({ "exact", "exact_rsa" }) do
        local found = assert(parse(read(name .. ".crt"), read(name .. ".key")))
        equals({ type(found.chain), type(found.key) }, { "cdata", "cdata" })
    end
end

function TestParse.test_a_chain_of_several()
    luaunit.assertNotNil(parse(read("exact.crt") .. read("default.crt"), read("exact.key")))
end

function TestParse.test_a_key_of_another_certificate()
    check_error(read("exact.crt"), read("default.key"), "the key does not match the certificate")
    check_error(read("exact_rsa.crt"), read("exact.key"), "the key does not match the certificate")
    check_error(read("exact_rsa.crt"), read("wildcard_rsa.key"), "the key does not match the certificate")
end

function TestParse.test_a_key_that_matches_only_a_later_certificate_of_the_chain()
    check_error(read("default.crt") .. read("exact.crt"), read("exact.key"), "the key does not match the certificate")
end

function TestParse.test_a_mismatch_leaves_nothing_for_the_next()
    parse(read("exact.crt"), read("default.key"))
    luaunit.assertNotNil(parse(read("exact.crt"), read("exact.key")))
end

function TestParse.test_missing_members()
    check_error(nil, nil, "'cert' is missing; 'key' is missing")
    check_error(cjson.null, "", "'cert' is missing; 'key' is missing")
end

function TestParse.test_members_of_the_wrong_type()
    check_error(7, { "k" }, "'cert' is not a text; 'key' is not a text")
end

function TestParse.test_texts_that_are_no_pem()
    check_error("abc", read("exact.key"), "'cert' holds no PEM certificate")
    check_error(read("exact.crt"), "abc", "'key' holds no PEM private key")
    check_error(read("exact.key"), read("exact.crt"), "'cert' holds no PEM certificate; 'key' holds no PEM private key")
end

function TestParse.test_pem_with_something_else_inside()
    local found, err = parse("-----BEGIN CERTIFICATE-----\nYWJj\n-----END CERTIFICATE-----\n", read("exact.key"))
    equals(found, nil)
    luaunit.assertStrContains(err, "could not parse 'cert': ")
    found, err = parse(read("exact.crt"), "-----BEGIN PRIVATE KEY-----\nYWJj\n-----END PRIVATE KEY-----\n")
    equals(found, nil)
    luaunit.assertStrContains(err, "could not parse 'key': ")
end

function TestParse.test_an_encrypted_key_is_refused_without_asking_for_its_password()
    check_error(read("exact.crt"), "-----BEGIN ENCRYPTED PRIVATE KEY-----\nYWJj\n-----END ENCRYPTED PRIVATE KEY-----\n",
                "'key' is encrypted")
    check_error(read("exact.crt"), "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nYWJj\n-----END RSA PRIVATE KEY-----\n",
                "'key' is encrypted")
end

function TestParse.test_what_is_no_object()
    equals({ certificate.parse('"x"') }, { nil, "is not an object" })
    luaunit.assertStrContains(select(2, certificate.parse("{")), "is not JSON: ")
end


return { TestParse = TestParse }
