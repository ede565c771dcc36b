--- Consistent hashing with weights.
--
-- `chash:new(nodes)` takes a table id -> weight (see resty.balancer.weighted, which also gives `reinit`, `set`, `incr`,
-- `decr` and `delete`). The ring is the one that nginx builds for `hash KEY consistent`: 160 points for each unit of
-- weight, each the CRC-32 of the id followed by the point before it. With the id `host .. "\0" .. port` a key goes to
-- the same peer as in nginx. Weights are taken as they are, so the ring of weights 100, 200 has 100 times as many points
-- as that of 1, 2 for much the same spread: divide weights by their greatest common divisor where nginx need not agree.
--
-- `find` is a binary search and allocates nothing for a key that is a string. A change of the nodes builds the ring anew.

local bit = require "bit"
local ffi = require "ffi"
local weighted = require "resty.balancer.weighted"

local band = bit.band
local bnot = bit.bnot
local bxor = bit.bxor
local crc32_long = ngx.crc32_long
local error = error
local ffi_cast = ffi.cast
local ffi_fill = ffi.fill
local ffi_new = ffi.new
local ipairs = ipairs
local rshift = bit.rshift
local tobit = bit.tobit
local tostring = tostring

local POINTS_PER_WEIGHT = 160

-- 16 million points are 128 MB: weights that ask for more are a mistake which must not cost the worker.
local MAX_POINTS = 2 ^ 24

local CRC32_POLYNOMIAL = tobit(0xEDB88320)
local DIGIT_BITS = 11
local DIGITS = 2 ^ DIGIT_BITS

local INT32_ARRAY = ffi.typeof("int32_t[?]")
local INT32_POINTER = ffi.typeof("int32_t *")
local UINT32_ARRAY = ffi.typeof("uint32_t[?]")


-- crc[k][b]: the effect on a CRC-32 of byte `b` followed by `k` zero bytes, so that four bytes take one step.
local function crc_tables()
    local tables = { [0] = ffi_new(INT32_ARRAY, 256), ffi_new(INT32_ARRAY, 256), ffi_new(INT32_ARRAY, 256), ffi_new(INT32_ARRAY, 256) }
    for byte = 0, 255 do
        local crc = byte
        for _ = 1, 8 do
            crc = bxor(rshift(crc, 1), band(CRC32_POLYNOMIAL, -band(crc, 1)))
        end
        tables[0][byte] = crc
    end
    for k = 1, 3 do
        for byte = 0, 255 do
            local crc = tables[k - 1][byte]
            tables[k][byte] = bxor(rshift(crc, 8), tables[0][band(crc, 255)])
        end
    end
    return tables[0], tables[1], tables[2], tables[3]
end


local crc0, crc1, crc2, crc3 = crc_tables()


-- Writes the points of one node, whose id is the `owner`th, into `hashes` and `owners` from position `from` on.
local function add_points(hashes, owners, from, count, id, owner)
    local seed = bnot(tobit(crc32_long(tostring(id))))
    local point = 0
    for i = from, from + count - 1 do
        local word = bxor(seed, point)
        point = bnot(bxor(crc3[band(word, 255)], crc2[band(rshift(word, 8), 255)],
                          crc1[band(rshift(word, 16), 255)], crc0[rshift(word, 24)]))
        hashes[i] = point
        owners[i] = owner
    end
end


-- One stable pass of a radix sort: by the digit of the hashes that starts at bit `shift`.
local function sort_pass(from, from_owners, to, to_owners, count, shift, starts)
    ffi_fill(starts, (DIGITS + 1) * 4)
    for i = 0, count - 1 do
        local digit = band(rshift(from[i], shift), DIGITS - 1)
        starts[digit + 1] = starts[digit + 1] + 1
    end
    for digit = 1, DIGITS - 1 do
        starts[digit] = starts[digit] + starts[digit - 1]
    end
    for i = 0, count - 1 do
        local digit = band(rshift(from[i], shift), DIGITS - 1)
        local place = starts[digit]
        starts[digit] = place + 1
        to[place] = from[i]
        to_owners[place] = from_owners[i]
    end
end


-- Sorts in three passes, the last of which ends in the scratch arrays.
local function sort_points(hashes, owners, count)
    local other, other_owners = ffi_new(UINT32_ARRAY, count), ffi_new(INT32_ARRAY, count)
    local a, b = ffi_cast(INT32_POINTER, hashes), ffi_cast(INT32_POINTER, other)
    local starts = ffi_new(INT32_ARRAY, DIGITS + 1)
    sort_pass(a, owners, b, other_owners, count, 0, starts)
    sort_pass(b, other_owners, a, owners, count, DIGIT_BITS, starts)
    sort_pass(a, owners, b, other_owners, count, 2 * DIGIT_BITS, starts)
    return other, other_owners
end


local function count_points(nodes, ids)
    local count = 0
    for _, id in ipairs(ids) do
        count = count + nodes[id] * POINTS_PER_WEIGHT
    end
    if count > MAX_POINTS then
        error("the weights add up to " .. count .. " points, the limit is " .. MAX_POINTS, 0)
    end
    return count
end


local function derive(self)
    local nodes = self.nodes
    local ids = weighted.usable_ids(nodes)
    local count = count_points(nodes, ids)
    local hashes, owners = ffi_new(UINT32_ARRAY, count), ffi_new(INT32_ARRAY, count)
    local from, signed = 0, ffi_cast(INT32_POINTER, hashes)
    for owner, id in ipairs(ids) do
        local points = nodes[id] * POINTS_PER_WEIGHT
        add_points(signed, owners, from, points, id, owner)
        from = from + points
    end
    self.hashes, self.owners = sort_points(hashes, owners, count)
    self.ids = ids
    self.npoints = count
    self.size = count
end


local _M = weighted.class(derive)


--- The node of a key, and the index of its point for `next`; nil when there is no node.
-- @param key a string; anything else is taken as its text
function _M:find(key)
    local count = self.npoints
    if count == 0 then
        return nil
    end
    local hashes, hash = self.hashes, crc32_long(key)
    local low, high = 0, count
    while low < high do
        local middle = rshift(low + high, 1)
        if hashes[middle] < hash then
            low = middle + 1
        else
            high = middle
        end
    end
    if low == count then
        low = 0
    end
    return self.ids[self.owners[low]], low
end


--- The node at the point after `index`, and that point's index, for a retry. It may be the node of `index` again. An index
-- that a change of the nodes has left behind counts as the end of the ring; nil when there is no node.
function _M:next(index)
    local count = self.npoints
    if count == 0 then
        return nil
    end
    local following = index + 1
    if following < 0 or following >= count then
        following = 0
    end
    return self.ids[self.owners[following]], following
end


return _M
