/* The console through hiredis: hiredis SOCKET */
#include <assert.h>
#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static redisReply *ask(redisContext *console, const char *command)
{
    redisReply *reply = redisCommand(console, command);
    if (!reply) {
        fprintf(stderr, "%s: %s\n", command, console->errstr);
        exit(1);
    }
    return reply;
}

/* The value of a key in an array of keys and values. */
static redisReply *member(redisReply *map, const char *key)
{
    for (size_t i = 0; i + 1 < map->elements; i += 2)
        if (strcmp(map->element[i]->str, key) == 0)
            return map->element[i + 1];
    fprintf(stderr, "no %s\n", key);
    exit(1);
}

int main(int argc, char **argv)
{
    assert(argc == 2);
    redisContext *console = redisConnectUnix(argv[1]);
    assert(console && !console->err);
    redisReply *reply = ask(console, "STATUS");
    assert(reply->type == REDIS_REPLY_ARRAY);
    assert(strcmp(member(reply, "state")->str, "serving") == 0);
    freeReplyObject(reply);
    reply = ask(console, "HELLO 2");
    assert(reply->type == REDIS_REPLY_ARRAY);
    assert(member(reply, "proto")->integer == 2);
    freeReplyObject(reply);
    reply = ask(console, "STATUS");
    assert(member(reply, "workers_open")->integer == 2);
    assert(member(reply, "reloading")->type == REDIS_REPLY_NIL);
    freeReplyObject(reply);
    reply = ask(console, "INFO worker");
    assert(reply->type == REDIS_REPLY_STRING && strncmp(reply->str, "# Worker", 8) == 0);
    freeReplyObject(reply);
    reply = ask(console, "NOSUCH");
    assert(reply->type == REDIS_REPLY_ERROR);
    assert(strncmp(reply->str, "ERR unknown command 'NOSUCH'", 28) == 0);
    freeReplyObject(reply);
    reply = ask(console, "RELOAD");
    assert(reply->type == REDIS_REPLY_STATUS && strstr(reply->str, " serves, generation "));
    freeReplyObject(reply);

    for (int i = 0; i < 1000; i++)
        assert(redisAppendCommand(console, "ECHO %d", i) == REDIS_OK);
    for (int i = 0; i < 1000; i++) {
        void *answer = NULL;
        assert(redisGetReply(console, &answer) == REDIS_OK);
        assert(atoi(((redisReply *)answer)->str) == i);
        freeReplyObject(answer);
    }
    redisFree(console);
    puts("hiredis: ok");
    return 0;
}
