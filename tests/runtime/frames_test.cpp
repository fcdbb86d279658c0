#include <cove/runtime/frames.hpp>

#include <cove/runtime/detail/frame_recycler.hpp>
#include <cove/runtime/task.hpp>

#include <support/allocations.hpp>
#include <support/test_kernel.hpp>

#include <doctest/doctest.h>

#include <utility>

namespace {

cove::task<> nothing() { co_return; }

}  // namespace

TEST_CASE("a coroutine's frame is counted from its call to its end") {
    const long before = cove::frames_alive();
    {
        auto held = nothing();
        CHECK(cove::frames_alive() == before + 1);
        test::run(std::move(held));
    }
    CHECK(cove::frames_alive() == before);
}

TEST_CASE("a freed cache makes the next frames come from the heap again") {
    if (!test::counts_allocations) return;
    test::run(nothing());
    cove::free_cached_frames();
    const long before = test::allocations();
    auto cold = nothing();
    test::escape(&cold);
    CHECK(test::allocations() == before + 1);
    test::run(std::move(cold));
}
