--- A certificate of the policy: PEM text parsed once and checked, ready to be handed to each handshake.
--
--     { chain = cdata, key = cdata }    as ngx.ssl's set_cert and set_priv_key take them
--
-- RSA and EC alike. The key is compared with the certificate through OpenSSL's own check, which nginx always carries: its
-- TLS library calls it. Should the process not offer it, a pair that does not fit is found by the handshake.

local cjson = require "cjson.safe"
local ffi = require "ffi"
local ssl = require "ngx.ssl"

local C = ffi.C
local concat = table.concat
local type = type

pcall(ffi.cdef, "void *OPENSSL_sk_value(const void *stack, int position);")
pcall(ffi.cdef, "int X509_check_private_key(const void *certificate, const void *key);")
pcall(ffi.cdef, "void ERR_clear_error(void);")

local CERTIFICATE = "-----BEGIN [%u ]*CERTIFICATE-----"
local KEY = "-----BEGIN [%u ]*PRIVATE KEY-----"
local ENCRYPTED = "-----BEGIN ENCRYPTED PRIVATE KEY-----"
local ENCRYPTED_OLD = "Proc-Type: 4,ENCRYPTED"


-- Whether the process lets us reach what `matches` needs.
local CAN_COMPARE = pcall(function()
    return C.OPENSSL_sk_value, C.X509_check_private_key, C.ERR_clear_error
end)


local function matches(chain, key)
    if not CAN_COMPARE then
        return true
    end
    local ok = C.X509_check_private_key(C.OPENSSL_sk_value(chain, 0), key) == 1
    -- An error that stays in OpenSSL's queue would be taken for an error of the next connection.
    C.ERR_clear_error()
    return ok
end


local function pem_problem(name, value, pattern, what)
    if value == nil or value == ngx.null or value == "" then
        return "'" .. name .. "' is missing"
    elseif type(value) ~= "string" then
        return "'" .. name .. "' is not a text"
    elseif not value:find(pattern) then
        return "'" .. name .. "' holds no PEM " .. what
    end
end


-- An encrypted key must not reach OpenSSL, which would ask for its password on the terminal.
local function key_problem(value)
    local problem = pem_problem("key", value, KEY, "private key")
    if not problem and (value:find(ENCRYPTED, 1, true) or value:find(ENCRYPTED_OLD, 1, true)) then
        return "'key' is encrypted"
    end
    return problem
end


-- Returns the two texts, or nil and what is wrong with them.
local function texts(object)
    if type(object) ~= "table" then
        return nil, "is not an object"
    end
    local problems = {}
    problems[1] = pem_problem("cert", object.cert, CERTIFICATE, "certificate")
    problems[#problems + 1] = key_problem(object.key)
    if #problems > 0 then
        return nil, concat(problems, "; ")
    end
    return object
end


local _M = {}


--- @param text JSON text { "cert": PEM chain, "key": PEM key }
-- @return { chain, key }, or nil and what is wrong
function _M.parse(text)
    local object, err = cjson.decode(text)
    if object == nil then
        return nil, "is not JSON: " .. err
    end
    object, err = texts(object)
    if not object then
        return nil, err
    end
    local chain
    chain, err = ssl.parse_pem_cert(object.cert)
    if not chain then
        return nil, "could not parse 'cert': " .. err
    end
    local key
    key, err = ssl.parse_pem_priv_key(object.key)
    if not key then
        return nil, "could not parse 'key': " .. err
    end
    if not matches(chain, key) then
        return nil, "the key does not match the certificate"
    end
    return { chain = chain, key = key }
end


return _M
