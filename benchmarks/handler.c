/* The ceiling behind Mongrel2: a handler that reads the sender and the connection id and answers constant bytes.
 *
 *     handler SEND_SPEC RECV_SPEC RECV_IDENT
 *
 * One thread, no header parsed. Notices (path "@*") are dropped: answering one for a client that has gone would
 * bring the next notice, for ever.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

#define ANSWER "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 26\r\n\r\nHello from the benchmark.\n"

static void die(const char *what)
{
    fprintf(stderr, "handler: %s: %s\n", what, zmq_strerror(zmq_errno()));
    exit(1);
}

int main(int argc, char **argv)
{
    if (argc != 4) {
        fprintf(stderr, "usage: handler SEND_SPEC RECV_SPEC RECV_IDENT\n");
        return 2;
    }
    void *context = zmq_ctx_new();
    void *pub = zmq_socket(context, ZMQ_XPUB);
    void *pull = zmq_socket(context, ZMQ_PULL);
    int unlimited = 0;
    zmq_setsockopt(pub, ZMQ_SNDHWM, &unlimited, sizeof unlimited);

    /* XPUB, so that the subscription is seen: answers sent before it arrives are lost, hence no PULL until then. */
    if (zmq_connect(pub, argv[2]) != 0) die(argv[2]);
    char subscription[256];
    int size = zmq_recv(pub, subscription, sizeof subscription, 0);
    if (size != (int)strlen(argv[3]) + 1 || memcmp(subscription + 1, argv[3], size - 1) != 0) {
        fprintf(stderr, "handler: not the subscription of %s\n", argv[3]);
        return 1;
    }
    if (zmq_connect(pull, argv[1]) != 0) die(argv[1]);

    for (;;) {
        char request[65536], answer[1024];
        size = zmq_recv(pull, request, sizeof request - 1, 0);
        if (size < 0) die("recv");
        if (size > (int)sizeof request - 1) size = sizeof request - 1;
        request[size] = 0;
        char *id = strchr(request, ' ');
        char *path = id ? strchr(id + 1, ' ') : NULL;
        if (!path || path[1] == '@') continue;
        *id++ = *path = 0;
        size = snprintf(answer, sizeof answer, "%s %zu:%s, %s", request, strlen(id), id, ANSWER);
        if (zmq_send(pub, answer, size, 0) != size) die("send");
    }
}
