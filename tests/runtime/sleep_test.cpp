#include <cove/runtime/sleep.hpp>

#include <cove/runtime/timeout.hpp>

#include <doctest/doctest.h>
#include <support/test_kernel.hpp>

#include <chrono>

using namespace std::chrono_literals;

namespace {

cove::task<> sleeps(cove::duration length, cove::duration& slept) {
    const cove::time_point start = cove::now();
    co_await cove::sleep_for(length);
    slept = cove::now() - start;
}

}  // namespace

TEST_CASE("sleep_for sleeps no shorter than asked for") {
    for (const cove::duration length :
         {cove::duration(1ns), cove::duration(100us), cove::duration(1ms), cove::duration(24h * 365)}) {
        cove::duration slept{};
        test::run(sleeps(length, slept));
        CHECK(slept >= length);
        CHECK(slept < length + 1s);
    }
}
