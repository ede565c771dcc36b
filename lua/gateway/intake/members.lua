--- The members of a policy, checked one by one: rules, backend groups, certificates.
--
-- Each function gives the digests of what is to be in force. A bad rule is left out; in place of a bad group or certificate the
-- one of the same name that is in force stays.

local certificate = require "gateway.certificate"
local group = require "gateway.group"
local new_table = require "table.new"
local shelf_module = require "gateway.shelf"

local find = string.find
local ipairs = ipairs

local GROUPS = shelf_module.GROUPS
local PREVIOUS_STAYS = "the previous one stays in force"

-- The name of a certificate: a domain, one with a wildcard, a port.
local NAME = "^[%w*_][%w*._-]*$"
local MOST_NAME = 255


-- Parses a rule that was not seen before. Returns whether it is good.
local function is_good_rule(intake, attempt, place, i, digest, text)
    local made, err, id = intake.parse_rule(text)
    if made then
        attempt:admit("rule", digest, text)
        intake:note_rule(digest, made)
        return true
    end
    attempt.bad["rule/" .. digest] = true
    attempt:complain(place, ": rule ", id and "'" .. id .. "'" or "[" .. i - 1 .. "]", " left out: ", err)
    return false
end


-- The digest of the group of this name that is in force; from now on it belongs to this attempt too.
local function keep_group(intake, attempt, name)
    local list = intake.lists[GROUPS]
    for _, digest in ipairs(list and list.members or {}) do
        local about = intake:about_group(digest)
        if about and about.name == name then
            attempt:use("group", digest)
            return digest
        end
    end
end


-- Parses a group that was not seen before. Returns the digest that stands for it, or nil.
local function take_new_group(intake, attempt, taken, i, digest, text)
    local made, err, name = group.parse(text)
    if made then
        attempt:admit("group", digest, text)
        intake:about_group(digest, made)
        for _, problem in ipairs(made.problems) do
            attempt:complain("backend_group '", made.name, "': backend left out: ", problem)
        end
        return digest
    end
    attempt.bad["group/" .. digest] = name or true
    local previous = name and not taken[name] and keep_group(intake, attempt, name) or nil
    attempt:complain("backend_group ", name and "'" .. name .. "'" or "[" .. i - 1 .. "]",
                     previous and " refused, " .. PREVIOUS_STAYS or " left out", ": ", err)
    return previous
end


-- The digest that stands for group i of the document: its own, or in place of a bad one that of the group in force, or nil.
-- taken: names of groups before it, which no other group gets.
local function take_group(intake, attempt, taken, spans, i, digest)
    if attempt:knows("group", digest) then
        return digest
    end
    local name = attempt:refusal("group/" .. digest)
    if not name then
        return take_new_group(intake, attempt, taken, i, digest, spans:text(i))
    end
    return name ~= true and not taken[name] and keep_group(intake, attempt, name) or nil
end


local function certificate_problem(name, text)
    if #name > MOST_NAME or not find(name, NAME) or shelf_module.is_reserved(name) then
        return "is not the name of a domain or port"
    end
    local made, err = certificate.parse(text)
    return not made and err or nil
end


-- The digest of a certificate, or of the one that stays in its place, or nil. Second value: whether it is its own.
local function take_certificate(intake, attempt, name, spans, i)
    local digest = spans:digest(i)
    local previous = intake.certificates[name]
    if previous == digest then
        return digest, true
    end
    local label = "certificate/" .. name .. "/" .. digest
    if attempt:refusal(label) then
        return previous, false
    end
    local text = spans:text(i)
    local problem = certificate_problem(name, text)
    if not problem then
        attempt.changed[#attempt.changed + 1] = { key = name, text = text, stamp = digest, is_certificate = true }
        return digest, true
    end
    attempt.bad[label] = true
    attempt:complain("certificate '", name, "'", previous and " refused, " .. PREVIOUS_STAYS or " left out", ": ", problem)
    return previous, false
end


-- Names in lower case -> where they stand in the document: of those that differ in case alone the last counts.
local function places_of(names)
    local places = new_table(0, #names)
    for i = 1, #names do
        places[names[i]:lower()] = i
    end
    return places
end


-- Once for each name, until no two groups have it any more.
local function complain_of_repetition(intake, attempt, i, name)
    if not (attempt.repeated[name] or intake.repeated[name]) then
        attempt:complain("backend_group '", name, "' [", i - 1, "] left out: another one has this name")
    end
    attempt.repeated[name] = true
end


local _M = {}


--- The digests of a port's good rules, in order.
-- @param place of the port in reports
-- @param spans as from `gateway.document.spans`
function _M.rules(intake, attempt, place, spans)
    local digests, count = new_table(spans.count, 0), 0
    for i = 1, spans.count do
        local digest = spans:digest(i)
        local is_good = attempt:knows("rule", digest)
        if not is_good and not attempt:refusal("rule/" .. digest) then
            is_good = is_good_rule(intake, attempt, place, i, digest, spans:text(i))
        end
        if is_good then
            count = count + 1
            digests[count] = digest
        end
        attempt:step(i)
    end
    attempt.rules = attempt.rules + count
    attempt.left_out = attempt.left_out + spans.count - count
    return digests
end


--- The digests of the backend groups, in order, one for each name.
-- @param spans as from `gateway.document.spans`
function _M.groups(intake, attempt, spans)
    local digests, taken = {}, {}
    for i = 1, spans.count do
        local own = spans:digest(i)
        local digest = take_group(intake, attempt, taken, spans, i, own)
        local about = digest and intake:about_group(digest)
        if about and not taken[about.name] then
            taken[about.name] = true
            digests[#digests + 1] = digest
            attempt.left_out = attempt.left_out + (digest == own and about.left_out or 1)
        else
            attempt.left_out = attempt.left_out + 1
            if about then
                complain_of_repetition(intake, attempt, i, about.name)
            end
        end
        attempt:step(i)
    end
    attempt.groups = #digests
    return digests
end


--- Notes the digests of the certificates in `attempt.certificates`, by name.
-- @param certificates { names, spans } of the document
function _M.certificates(intake, attempt, certificates)
    local places = places_of(certificates.names)
    for i, domain in ipairs(certificates.names) do
        local name = domain:lower()
        if places[name] == i then
            local digest, is_own = take_certificate(intake, attempt, name, certificates.spans, i)
            attempt.certificates[name] = digest
            attempt.count_certificates = attempt.count_certificates + (digest and 1 or 0)
            attempt.left_out = attempt.left_out + (is_own and 0 or 1)
        end
        attempt:step(i)
    end
end


return _M
