#include <cove/net/buffer.hpp>

#include <new>

namespace cove {
namespace {

// Per thread, so without locks. A few blocks serve any number of connections, because a block is in use only between
// the arrival of bytes and their being dealt with.
class block_pool {
public:
    ~block_pool() { clear(); }
    void clear() noexcept {
        while (count_ > 0) ::operator delete(blocks_[--count_]);
    }
    char* take() { return static_cast<char*>(count_ > 0 ? blocks_[--count_] : ::operator new(buffer::capacity)); }
    void give_back(char* block) noexcept {
        if (count_ < kept_max)
            blocks_[count_++] = block;
        else
            ::operator delete(block);
    }

private:
    static constexpr std::size_t kept_max = 64;  // 1 MiB
    void* blocks_[kept_max];
    std::size_t count_ = 0;
};

thread_local block_pool pool;

}  // namespace

buffer buffer::take() {
    buffer taken;
    taken.block_ = pool.take();
    return taken;
}

void buffer::free_cached() noexcept { pool.clear(); }

void buffer::give_back(char* block) noexcept { pool.give_back(block); }

}  // namespace cove
