package main

import (
	"bufio"
	"context"
	"fmt"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/pager"
	watchtools "k8s.io/client-go/tools/watch"
)

// tour does what a program of a user's does from day to day, with the typed client: tour NAMESPACE.
func tour(ctx context.Context, config *rest.Config, words []string) error {
	namespace := words[0]
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	for _, part := range []func(context.Context, kubernetes.Interface, string) error{mayI, pages, aPodsLife} {
		if err := part(ctx, client, namespace); err != nil {
			return err
		}
	}
	return nil
}

func mayI(ctx context.Context, client kubernetes.Interface, namespace string) error {
	version, err := client.Discovery().ServerVersion()
	if err != nil {
		return err
	}
	review := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{
		ResourceAttributes: &authorizationv1.ResourceAttributes{Namespace: namespace, Verb: "create", Resource: "pods"},
	}}
	answer, err := client.AuthorizationV1().SelfSubjectAccessReviews().Create(ctx, review, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	_, err = client.CoreV1().Pods(namespace).Get(ctx, "nobody", metav1.GetOptions{})
	say(line{"server": version.Major + "." + version.Minor, "may": answer.Status.Allowed, "absent": apierrors.IsNotFound(err)})
	return nil
}

// pages makes 25 ConfigMaps, lists them in pages of ten, and deletes them as a collection.
func pages(ctx context.Context, client kubernetes.Interface, namespace string) error {
	maps := client.CoreV1().ConfigMaps(namespace)
	marked := metav1.ListOptions{LabelSelector: "of=tour"}
	for range 25 {
		made := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{GenerateName: "page-", Labels: map[string]string{"of": "tour"}}}
		if _, err := maps.Create(ctx, made, metav1.CreateOptions{}); err != nil {
			return err
		}
	}
	asked, listed := 0, map[string]bool{}
	through := pager.New(func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
		asked++
		return maps.List(ctx, options)
	})
	through.PageSize = 10
	err := through.EachListItem(ctx, marked, func(object runtime.Object) error {
		listed[object.(*corev1.ConfigMap).Name] = true
		return nil
	})
	if err != nil {
		return err
	}
	if err := maps.DeleteCollection(ctx, metav1.DeleteOptions{}, marked); err != nil {
		return err
	}
	left, err := maps.List(ctx, marked)
	if err != nil {
		return err
	}
	say(line{"pages": asked, "listed": len(listed), "left": len(left.Items)})
	return nil
}

// aPodsLife makes a pod, waits for it as kubectl wait does, reads its log, patches it, and evicts it.
func aPodsLife(ctx context.Context, client kubernetes.Interface, namespace string) error {
	pods := client.CoreV1().Pods(namespace)
	now := int64(0)
	made := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "tourist"},
		Spec: corev1.PodSpec{
			TerminationGracePeriodSeconds: &now,
			Containers: []corev1.Container{{
				Name: "main", Image: "busybox:1.36", Command: []string{"sh", "-c", "echo one; echo two; sleep 3600"},
			}},
		},
	}
	if _, err := pods.Create(ctx, made, metav1.CreateOptions{}); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	only := fields.OneTermEqualSelector("metadata.name", "tourist")
	follow := cache.NewFilteredListWatchFromClient(client.CoreV1().RESTClient(), "pods", namespace, func(options *metav1.ListOptions) {
		options.FieldSelector = only.String()
	})
	reached := func(event watch.Event) (bool, error) {
		pod, ok := event.Object.(*corev1.Pod)
		if !ok {
			return false, fmt.Errorf("an event of %T", event.Object)
		}
		for _, condition := range pod.Status.Conditions {
			if condition.Type == corev1.PodReady && condition.Status == corev1.ConditionTrue {
				return true, nil
			}
		}
		return false, nil
	}
	if _, err := watchtools.UntilWithSync(ctx, follow, &corev1.Pod{}, nil, reached); err != nil {
		return fmt.Errorf("waiting for the pod: %w", err)
	}
	log, err := pods.GetLogs("tourist", &corev1.PodLogOptions{Follow: true}).Stream(ctx)
	if err != nil {
		return err
	}
	defer log.Close()
	said := []string{}
	for lines := bufio.NewScanner(log); len(said) < 2 && lines.Scan(); {
		said = append(said, lines.Text())
	}
	patch := []byte(`{"metadata":{"labels":{"seen":"yes"}}}`)
	pod, err := pods.Patch(ctx, "tourist", types.StrategicMergePatchType, patch, metav1.PatchOptions{})
	if err != nil {
		return err
	}
	gone, err := pods.Watch(ctx, metav1.SingleObject(pod.ObjectMeta))
	if err != nil {
		return err
	}
	defer gone.Stop()
	eviction := &policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Name: "tourist", Namespace: namespace}}
	if err := client.PolicyV1().Evictions(namespace).Evict(ctx, eviction); err != nil {
		return err
	}
	for event := range gone.ResultChan() {
		if event.Type == watch.Deleted {
			say(line{"said": said, "labels": pod.Labels, "evicted": true})
			return nil
		}
	}
	return fmt.Errorf("the evicted pod has not gone")
}
