--- The members of a policy, checked one by one: rules, backend groups, certificates.
--
-- Each function gives the digests of what is to be in force. A bad rule is left out; in place of a bad group or certificate the
-- one of the same name that is in force stays.

local certificate = require "gateway.certificate"
local group = require "gateway.group"
local shelf_module = require "gateway.shelf"

local digest_of = shelf_module.digest
local find = string.find
local ipairs = ipairs

local GROUPS = shelf_module.GROUPS
local PREVIOUS_STAYS = "the previous one stays in force"

-- What can be the name of a certificate: a domain, one with a wildcard, a port.
local NAME = "^[%w*_][%w*._-]*$"
local MOST_NAME = 255


-- Parses a rule that was not seen before. Returns whether it is good.
local function is_good_rule(intake, attempt, place, i, digest, text)
    local made, err, id = intake.parse_rule(text)
    if made then
        attempt:admit("rule", digest, text)
        return true
    end
    attempt.bad["rule/" .. digest] = true
    attempt:complain(place, ": rule ", id and "'" .. id .. "'" or "[" .. i - 1 .. "]", " left out: ", err)
    return false
end


-- The name of a group on the shelf.
local function name_of(intake, digest)
    local name = intake.group_names[digest]
    if not name then
        local made = group.parse(intake.shelf:body("group", digest) or "")
        name = made and made.name
        intake.group_names[digest] = name
    end
    return name
end


-- The digest of the group of this name that is in force; from now on it belongs to this attempt too.
local function keep_group(intake, attempt, name)
    local list = name and intake.lists[GROUPS]
    for digest in (list and list.members or ""):gmatch("[^,]+") do
        if name_of(intake, digest) == name then
            attempt.bodies["group/" .. digest] = true
            return digest
        end
    end
end


-- Parses a group that was not seen before. Returns the digest that stands for it, or nil.
local function take_new_group(intake, attempt, i, digest, text)
    local made, err, name = group.parse(text)
    if made then
        attempt:admit("group", digest, text)
        intake.group_names[digest] = made.name
        for _, problem in ipairs(made.problems) do
            attempt:complain("backend_group '", made.name, "': backend left out: ", problem)
        end
        return digest
    end
    attempt.bad["group/" .. digest] = name or true
    local previous = keep_group(intake, attempt, name)
    attempt:complain("backend_group ", name and "'" .. name .. "'" or "[" .. i - 1 .. "]",
                     previous and " refused, " .. PREVIOUS_STAYS or " left out", ": ", err)
    return previous
end


-- The digest that stands for a group: its own, or in place of a bad one that of the group in force, or nil.
local function take_group(intake, attempt, i, text)
    local digest = digest_of(text)
    local good = attempt:known("group/" .. digest)
    if good then
        return digest
    elseif good == nil then
        return take_new_group(intake, attempt, i, digest, text)
    end
    local name = attempt.bad["group/" .. digest]
    return name ~= true and keep_group(intake, attempt, name) or nil
end


local function certificate_problem(name, text)
    if #name > MOST_NAME or not find(name, NAME) or shelf_module.is_reserved(name) then
        return "is not the name of a domain or port"
    end
    local made, err = certificate.parse(text)
    return not made and err or nil
end


-- The digest of a certificate, or of the one that stays in its place, or nil.
local function take_certificate(intake, attempt, name, text)
    local digest = digest_of(text)
    local previous = intake.certificates[name]
    local label = "certificate/" .. name .. "/" .. digest
    if previous == digest then
        return digest
    elseif attempt:known(label) == false then
        return previous
    end
    local problem = certificate_problem(name, text)
    if not problem then
        attempt.changed[#attempt.changed + 1] = { key = name, text = text, stamp = digest, is_certificate = true }
        return digest
    end
    attempt.bad[label] = true
    attempt:complain("certificate '", name, "'", previous and " refused, " .. PREVIOUS_STAYS or " left out", ": ", problem)
    return previous
end


local _M = {}


--- The digests of a port's good rules, in order.
-- @param place of the port in reports
function _M.rules(intake, attempt, place, texts)
    local digests = {}
    for i, text in ipairs(texts) do
        local digest = digest_of(text)
        local good = attempt:known("rule/" .. digest)
        if good == nil then
            good = is_good_rule(intake, attempt, place, i, digest, text)
        end
        if good then
            digests[#digests + 1] = digest
        end
        attempt:step(i)
    end
    attempt.rules = attempt.rules + #digests
    attempt.left_out = attempt.left_out + #texts - #digests
    return digests
end


--- The digests of the backend groups, in order, one for each name.
function _M.groups(intake, attempt, texts)
    local digests, taken = {}, {}
    for i, text in ipairs(texts) do
        local digest = take_group(intake, attempt, i, text)
        local name = digest and name_of(intake, digest)
        if name and not taken[name] then
            taken[name] = true
            digests[#digests + 1] = digest
        elseif name and not intake.repeated[name] then
            intake.repeated[name] = true
            attempt:complain("backend_group '", name, "' [", i - 1, "] left out: another one has this name")
        end
        attempt:step(i)
    end
    attempt.groups = #digests
    attempt.left_out = attempt.left_out + #texts - #digests
    return digests
end


--- Notes the digests of the certificates in `attempt.certificates`, by name.
-- @param certificates list of { name, text }
function _M.certificates(intake, attempt, certificates)
    for i, entry in ipairs(certificates) do
        local name = entry[1]:lower()
        local digest = take_certificate(intake, attempt, name, entry[2])
        attempt.certificates[name] = digest
        if digest then
            attempt.count_certificates = attempt.count_certificates + 1
        else
            attempt.left_out = attempt.left_out + 1
        end
        attempt:step(i)
    end
end


return _M
