#include <cove/net/sim/generator.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <cstdint>
#include <limits>
#include <vector>

using cove::duration;
using cove::sim::generator;
using namespace std::chrono_literals;

namespace {

constexpr std::uint64_t most = std::numeric_limits<std::uint64_t>::max();

}  // namespace

TEST_CASE("the same seed draws the same numbers, and another one draws others") {
    generator one(42), same(42), other(43);
    int equal = 0;
    for (int i = 0; i < 1000; ++i) {
        const std::uint64_t drawn = one.next();
        CHECK(drawn == same.next());
        if (drawn == other.next()) ++equal;
    }
    CHECK(equal == 0);
}

TEST_CASE("the numbers are those of splitmix64, on every machine") {
    generator choices(1234567);
    for (const std::uint64_t expected : {6457827717110365317U, 3203168211198807973U, 9817491932198370423U,
                                         4593380528125082431U, 16408922859458223821U})
        CHECK(choices.next() == expected);
}

TEST_CASE("below() gives every value under the limit, and no other") {
    generator choices(1);
    std::vector<int> times(7);
    for (int i = 0; i < 7000; ++i) {
        const std::uint64_t drawn = choices.below(7);
        REQUIRE(drawn < 7);
        ++times[drawn];
    }
    for (const int each : times) CHECK((each > 800 && each < 1200));
}

TEST_CASE("below() of nothing and of one is zero; of all there is, a number of any size") {
    generator choices(1);
    CHECK(choices.below(0) == 0);
    for (int i = 0; i < 100; ++i) CHECK(choices.below(1) == 0);
    bool large = false;
    for (int i = 0; i < 100; ++i) {
        const std::uint64_t drawn = choices.below(most);
        CHECK(drawn < most);
        large = large || drawn > most / 2;
    }
    CHECK(large);
}

TEST_CASE("between() gives both of its ends and what lies between them") {
    generator choices(1);
    std::vector<int> times(3);
    for (int i = 0; i < 300; ++i) {
        const std::uint64_t drawn = choices.between(5, 7);
        REQUIRE((drawn >= 5 && drawn <= 7));
        ++times[drawn - 5];
    }
    for (const int each : times) CHECK(each > 60);
}

TEST_CASE("between() of one value, or of an empty range, is the least") {
    generator choices(1);
    CHECK(choices.between(9, 9) == 9);
    CHECK(choices.between(9, 3) == 9);
    CHECK(choices.between(most, most) == most);
    CHECK(choices.between(9ns, 9ns) == 9ns);
    CHECK(choices.between(9ns, 3ns) == 9ns);
    CHECK(choices.between(duration::max(), duration::min()) == duration::max());
}

TEST_CASE("between() of all numbers there are draws more than the first of them") {
    generator choices(1);
    bool large = false;
    for (int i = 0; i < 100; ++i) large = choices.between(0, most) > most / 2 || large;
    CHECK(large);
    CHECK(choices.between(most - 1, most) >= most - 1);
}

TEST_CASE("a length between two others may be negative, zero, or as long as there is") {
    generator choices(1);
    bool negative = false, positive = false, long_ones = false;
    for (int i = 0; i < 100; ++i) {
        const duration drawn = choices.between(-10ns, 10ns);
        CHECK((drawn >= -10ns && drawn <= 10ns));
        negative = negative || drawn < 0ns;
        positive = positive || drawn > 0ns;
        CHECK(choices.between(0ns, duration::max()) >= 0ns);
        long_ones = choices.between(duration::min(), duration::max()) > duration::max() / 2 || long_ones;
    }
    CHECK((negative && positive && long_ones));
}

TEST_CASE("a chance of zero never comes, one of one always, and others as often as they say") {
    generator choices(1);
    int times = 0;
    for (int i = 0; i < 10000; ++i) {
        REQUIRE(!choices.chance(0));
        REQUIRE(!choices.chance(-1));
        REQUIRE(!choices.chance(std::numeric_limits<double>::quiet_NaN()));
        REQUIRE(choices.chance(1));
        REQUIRE(choices.chance(1e300));
        if (choices.chance(0.25)) ++times;
    }
    CHECK((times > 2300 && times < 2700));
}

TEST_CASE("what can only come out in one way draws nothing") {
    generator asked(7), silent(7);
    CHECK(!asked.chance(0));
    CHECK(asked.below(0) == 0);
    CHECK(asked.between(4, 4) == 4);
    CHECK(asked.next() == silent.next());
}
