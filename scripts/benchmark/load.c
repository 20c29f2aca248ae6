/* A closed-loop load on one KMIP server over TLS with a client certificate.
 *
 *   load HOST PORT CA CERT KEY CONNECTIONS WARM SECONDS REQUESTS
 *
 * REQUESTS is a file of request messages one behind the other. Each connection sends one, waits for the whole answer, checks
 * it and sends the next in turn. What is answered during the first WARM seconds does not count.
 *
 * Output: one line of JSON, then the latency of each counted answer in microseconds, 4 bytes each, in this machine's order.
 * An answer fails unless every Batch Item of it says Result Status Success. client.py is the same in Python. */

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>

enum { HEADER = 8, ANSWER_MAX = 1 << 20, EVENTS = 256, GRACE = 5 };
enum { RESPONSE_MESSAGE = 0x42007B, BATCH_ITEM = 0x42000F, RESULT_STATUS = 0x42007F }; /* KMIP 2.1 §11.2 */

struct request {
    const unsigned char *bytes;
    size_t size;
};

struct connection {
    SSL *tls;
    int socket;
    size_t turn;            /* the request that it waits for an answer to */
    unsigned char *answer;  /* ANSWER_MAX bytes, of which `have` are filled */
    size_t have;
    int64_t sent;           /* nanoseconds */
};

struct latencies {
    uint32_t *microseconds;
    size_t count, room;
};

static _Noreturn void fail(const char *what)
{
    fprintf(stderr, "load: %s\n", what);
    ERR_print_errors_fp(stderr);
    exit(1);
}

static int64_t nanoseconds(void)
{
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return (int64_t)at.tv_sec * 1000000000 + at.tv_nsec;
}

static uint32_t word(const unsigned char *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

/* The size of an item with its header and its padding. */
static size_t item_size(const unsigned char *item)
{
    return HEADER + (((size_t)word(item + 4) + 7) & ~(size_t)7);
}

/* The first item with this tag between `at` and `end`, or NULL. */
static const unsigned char *find(const unsigned char *at, const unsigned char *end, uint32_t tag)
{
    for (; end - at >= HEADER && item_size(at) <= (size_t)(end - at); at += item_size(at))
        if (word(at) >> 8 == tag)
            return at;
    return NULL;
}

static int succeeded(const unsigned char *answer)
{
    const unsigned char *end = answer + item_size(answer), *item = answer + HEADER;
    int items = 0;
    if (word(answer) >> 8 != RESPONSE_MESSAGE)
        return 0;
    for (; (item = find(item, end, BATCH_ITEM)) != NULL; item += item_size(item), items++) {
        const unsigned char *status = find(item + HEADER, item + item_size(item), RESULT_STATUS);
        if (status == NULL || word(status + 4) != 4 || word(status + HEADER) != 0)
            return 0;
    }
    return items > 0;
}

static size_t read_requests(const char *path, struct request **requests)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL || fseek(file, 0, SEEK_END) != 0)
        fail("the requests cannot be read");
    long size = ftell(file);
    unsigned char *bytes = malloc((size_t)size);
    rewind(file);
    if (bytes == NULL || fread(bytes, 1, (size_t)size, file) != (size_t)size)
        fail("the requests cannot be read");
    fclose(file);
    size_t count = 0;
    *requests = NULL;
    for (const unsigned char *at = bytes; at < bytes + size; at += item_size(at)) {
        *requests = realloc(*requests, (count + 1) * sizeof **requests);
        (*requests)[count++] = (struct request){at, item_size(at)};
    }
    if (count == 0)
        fail("there is no request");
    return count;
}

static void open_connection(struct connection *c, SSL_CTX *context, const char *host, const char *port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port))};
    int on = 1;
    c->socket = socket(AF_INET, SOCK_STREAM, 0);
    if (inet_pton(AF_INET, host, &address.sin_addr) != 1 || c->socket < 0 ||
        connect(c->socket, (struct sockaddr *)&address, sizeof address) != 0)
        fail("the server does not take the connection");
    setsockopt(c->socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    c->tls = SSL_new(context);
    SSL_set_fd(c->tls, c->socket);
    if (SSL_connect(c->tls) != 1)
        fail("the TLS handshake failed");
    fcntl(c->socket, F_SETFL, O_NONBLOCK);
    c->answer = malloc(ANSWER_MAX);
}

static void send_request(struct connection *c, const struct request *requests)
{
    const struct request *request = &requests[c->turn];
    c->have = 0;
    c->sent = nanoseconds();
    /* A request fits into the socket's buffer: nothing else of this connection is under way. */
    if (SSL_write(c->tls, request->bytes, (int)request->size) != (int)request->size)
        fail("a request was not taken");
}

/* Read what is there. -> 1 for a whole answer, 0 when more has to come, -1 when the connection is closed. */
static int read_answer(struct connection *c)
{
    for (;;) {
        int got = SSL_read(c->tls, c->answer + c->have, (int)(ANSWER_MAX - c->have));
        if (got <= 0)
            return SSL_get_error(c->tls, got) == SSL_ERROR_WANT_READ ? 0 : -1;
        c->have += (size_t)got;
        if (c->have >= HEADER && c->have >= item_size(c->answer))
            return 1;
        if (c->have == ANSWER_MAX)
            return -1;
    }
}

static void keep(struct latencies *kept, int64_t latency)
{
    if (kept->count == kept->room) {
        kept->room = kept->room ? 2 * kept->room : 1 << 16;
        kept->microseconds = realloc(kept->microseconds, kept->room * sizeof *kept->microseconds);
        if (kept->microseconds == NULL)
            fail("out of memory");
    }
    kept->microseconds[kept->count++] = (uint32_t)(latency / 1000);
}

int main(int count, char **arguments)
{
    if (count != 10)
        fail("usage: load HOST PORT CA CERT KEY CONNECTIONS WARM SECONDS REQUESTS");
    signal(SIGPIPE, SIG_IGN);
    int connections = atoi(arguments[6]);
    struct request *requests;
    size_t different = read_requests(arguments[9], &requests);

    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    if (SSL_CTX_load_verify_locations(context, arguments[3], NULL) != 1 ||
        SSL_CTX_use_certificate_chain_file(context, arguments[4]) != 1 ||
        SSL_CTX_use_PrivateKey_file(context, arguments[5], SSL_FILETYPE_PEM) != 1)
        fail("the certificates cannot be used");
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);

    int poll = epoll_create1(0);
    struct connection *all = calloc((size_t)connections, sizeof *all);
    for (int i = 0; i < connections; i++) {
        open_connection(&all[i], context, arguments[1], arguments[2]);
        all[i].turn = (size_t)i % different;
        struct epoll_event wanted = {.events = EPOLLIN, .data.ptr = &all[i]};
        epoll_ctl(poll, EPOLL_CTL_ADD, all[i].socket, &wanted);
    }

    struct latencies kept = {0};
    size_t failures = 0;
    int waiting = connections;
    int64_t start = nanoseconds() + (int64_t)(atof(arguments[7]) * 1e9);
    int64_t end = start + (int64_t)(atof(arguments[8]) * 1e9), now = start;
    for (int i = 0; i < connections; i++)
        send_request(&all[i], requests);
    while (waiting > 0 && now < end + GRACE * (int64_t)1000000000) {
        struct epoll_event events[EVENTS];
        int ready = epoll_wait(poll, events, EVENTS, 100);
        for (int i = 0; i < ready; i++) {
            struct connection *c = events[i].data.ptr;
            int state = read_answer(c);
            if (state == 0)
                continue;
            now = nanoseconds();
            if (state < 0 || !succeeded(c->answer))
                failures++;
            else if (now >= start && now < end)
                keep(&kept, now - c->sent);
            if (state < 0 || now >= end) {
                epoll_ctl(poll, EPOLL_CTL_DEL, c->socket, NULL);
                waiting--;
                continue;
            }
            c->turn = (c->turn + 1) % different;
            send_request(c, requests);
        }
        now = nanoseconds();
    }
    failures += (size_t)waiting; /* never answered */
    printf("{\"answers\": %zu, \"failures\": %zu, \"seconds\": %.6f, \"tls\": \"%s %s\"}\n", kept.count, failures,
           (double)(end - start) / 1e9, SSL_get_version(all[0].tls), SSL_get_cipher(all[0].tls));
    fwrite(kept.microseconds, sizeof *kept.microseconds, kept.count, stdout);
    return 0;
}
