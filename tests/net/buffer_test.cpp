#include <cove/net/buffer.hpp>

#include <support/allocations.hpp>

#include <doctest/doctest.h>

#include <cstring>
#include <set>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

using cove::buffer;

static_assert(!std::is_copy_constructible_v<buffer> && std::is_nothrow_move_constructible_v<buffer>);

TEST_CASE("a buffer that was never filled is empty and holds nothing") {
    buffer none;
    CHECK(!none);
    CHECK(none.size() == 0);
    CHECK(none.data() == nullptr);
    CHECK(none.view().empty());
}

TEST_CASE("a buffer holds as many bytes as it was told, of its capacity") {
    buffer some = buffer::take();
    CHECK(!some);
    std::memset(some.data(), 'x', buffer::capacity);
    some.set_size(3);
    CHECK(static_cast<bool>(some));
    CHECK(some.view() == "xxx");
    some.set_size(buffer::capacity);
    CHECK(some.view() == std::string(buffer::capacity, 'x'));
    some.set_size(0);
    CHECK(!some);
}

TEST_CASE("moving a buffer hands its bytes over, and the memory goes back once") {
    buffer one = buffer::take();
    std::strcpy(one.data(), "one");
    one.set_size(3);
    char* const memory = one.data();
    buffer two = std::move(one);
    CHECK(!one);
    CHECK(one.data() == nullptr);
    CHECK(two.view() == "one");
    buffer three = buffer::take();
    CHECK(three.data() != memory);
    three = std::move(two);
    CHECK(three.view() == "one");
    buffer& self = three;
    three = std::move(self);
    CHECK(three.view() == "one");
}

TEST_CASE("memory that was given back is used again, the last first") {
    char* memory = nullptr;
    {
        buffer some = buffer::take();
        memory = some.data();
    }
    buffer again = buffer::take();
    CHECK(again.data() == memory);
}

TEST_CASE("what the pool keeps can be given back to the heap") {
    if (!test::counts_allocations) return;
    { buffer some = buffer::take(); }
    buffer::free_cached();
    const long before = test::allocations();
    buffer again = buffer::take();
    test::escape(again.data());
    CHECK(test::allocations() == before + 1);
}

TEST_CASE("more buffers than the pool keeps are all different and all usable") {
    for (int round = 0; round < 2; ++round) {
        std::vector<buffer> many;
        std::set<char*> blocks;
        for (int i = 0; i < 200; ++i) {
            many.push_back(buffer::take());
            std::memset(many.back().data(), i, buffer::capacity);
            blocks.insert(many.back().data());
        }
        CHECK(blocks.size() == 200);
        int wrong = 0;
        for (int i = 0; i < 200; ++i)
            if (many[static_cast<std::size_t>(i)].data()[buffer::capacity - 1] != static_cast<char>(i)) ++wrong;
        CHECK(wrong == 0);
    }
}
